"""Texts in another language than the rest: by their script, and among Latin scripts by their function words.

No model and no download: each list holds words that are among the commonest of a language and short of meaning. The
data set itself tells which language is its own; where none holds most of its texts nothing is claimed. A language that
is not listed may pass for a listed one only with LEAST_WORDS and more of its words.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from evals.triage.found import Found

LEAST_WORDS = 2
"""Different function words of one language, fewer of which say nothing: names and titles are quoted everywhere."""
MAIN_SHARE = 0.5
"""Of the texts whose language can be told, so many are in the data set's own."""

FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "English": "the and of to is in that it you for with was are this have not be on my can how what do they your",
        "Spanish": "el la los las de que y en un una es por con para no se su como está pero más muy cómo qué mi lo al",
        "French": "le la les des du et est un une que qui dans pour pas je vous sur avec ce il nous au ne plus mais",
        "German": "der die das und ist nicht ich ein eine zu den mit für auf von dem sich auch wie im wir es wird kann",
        "Italian": "il lo gli di che è non un una per con sono del della ma come più anche questo nel ho mi alla dei",
        "Portuguese": "o os um uma de que não é para com por mais como mas foi ao dos das seu sua está você na em meu",
        "Dutch": "de het een en van is niet dat ik op te zijn voor met die er maar ook aan bij wat naar mijn hoe kan",
        "Swedish": "och att det som en är på inte jag med för den av till har ett om vi kan min men så hur var",
        "Danish": "og at det er som en på ikke jeg med for den af til har et om vi kan min men så hvordan hvad der",
        "Polish": "i w nie na się z że jest do to jak co czy moje ale już od przez są być mam dla mnie tak który",
        "Czech": "a je se na že to v s jsem jak ale do by co jsou která který pro není jako když po tak být už",
        "Turkish": "bir ve bu da de için ne çok ile var mı ben gibi daha olarak ama nasıl değil olan kadar mi sonra",
        "Indonesian": "yang dan di ini itu dengan untuk tidak dari saya akan ada pada adalah ke bisa apa juga sudah",
        "Swahili": "na ya wa kwa ni za katika la hii kama kuwa cha lakini hiyo yake huo baada pia watu sana yangu",
        "Hausa": "da na ta a ya ba wannan ne shi ce su cikin don za wani kuma mai yi ga an har suka daga ina sun",
        "Finnish": "ja on ei se että en oli hän mutta ovat kun niin mitä myös voi olen minun tai jos sen kuin ole",
        "Romanian": "și în nu este de la cu pe un o că din mai care sunt pentru ce am dar ca fi să cum sau",
        "Vietnamese": "và của là có không được cho tôi một những này trong với các đã thì người khi đó như",
    }.items()
}
_LANGUAGES = tuple(FUNCTION_WORDS)
_OF_WORD: dict[str, list[int]] = {}
for _place, _list in enumerate(FUNCTION_WORDS.values()):
    for _word in _list:
        _OF_WORD.setdefault(_word, []).append(_place)

# The first code point of stretches of letters, and the script they belong to (Unicode 16, Blocks.txt).
_SCRIPTS = (
    (0x0000, "Latin"), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"), (0x0590, "Hebrew"),
    (0x0600, "Arabic"), (0x0700, ""), (0x0750, "Arabic"), (0x0780, ""), (0x08A0, "Arabic"), (0x0900, "Devanagari"),
    (0x0980, "Bengali"), (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"), (0x0B00, "Odia"), (0x0B80, "Tamil"),
    (0x0C00, "Telugu"), (0x0C80, "Kannada"), (0x0D00, "Malayalam"), (0x0D80, "Sinhala"), (0x0E00, "Thai"),
    (0x0E80, "Lao"), (0x0F00, "Tibetan"), (0x1000, "Burmese"), (0x10A0, "Georgian"), (0x1100, "Korean"),
    (0x1200, "Ethiopic"), (0x13A0, ""), (0x1780, "Khmer"), (0x1800, ""), (0x1C80, "Cyrillic"), (0x1C90, ""),
    (0x1D00, "Latin"), (0x1DC0, ""), (0x1E00, "Latin"), (0x1F00, "Greek"), (0x2000, ""), (0x2C60, "Latin"),
    (0x2C80, ""), (0x3040, "Chinese or Japanese"), (0x3130, "Korean"), (0x3190, ""), (0x31F0, "Chinese or Japanese"),
    (0x3200, ""), (0x3400, "Chinese or Japanese"), (0xA000, ""), (0xA640, "Cyrillic"), (0xA6A0, ""),
    (0xA720, "Latin"), (0xA800, ""), (0xAC00, "Korean"), (0xD800, ""), (0xF900, "Chinese or Japanese"),
    (0xFB00, "Latin"), (0xFB13, ""), (0xFB1D, "Hebrew"), (0xFB50, "Arabic"), (0xFE00, ""), (0xFE70, "Arabic"),
    (0xFF00, ""), (0x20000, "Chinese or Japanese"), (0x32000, ""),
)  # fmt: skip
_STARTS = np.array([start for start, _ in _SCRIPTS])
_NAMES = tuple(dict.fromkeys(name for _, name in _SCRIPTS if name))
_PLACES = np.array([_NAMES.index(name) if name else -1 for _, name in _SCRIPTS])
_WORD = re.compile(r"[^\W\d_]+")
_LETTERS_AT_ONCE = 4_000_000


def other_languages(texts: Sequence[str | None]) -> Found:
    """Texts in another script or language than most: risk in [0, 1], nan where nothing can be told.

    By script: the share of letters outside the data set's main script. Where that is Latin also by words: with b
    different function words of the main language and a of the best other one, of which there are LEAST_WORDS and more,
    a / (a + b + 1). The larger of the two counts. evidence: language, what it seems to be.

    >>> texts = ["how do I get the card", "what is the fee for it"] * 3
    >>> found = other_languages([*texts, "¿cómo puedo pagar con la tarjeta?", "где моя карта"])
    >>> found.risk[-3:].round(2).tolist(), found.evidence["language"][-2:].tolist()
    ([0.0, 0.75, 1.0], ['Spanish', 'Cyrillic'])
    """
    n = len(texts)
    letters = _letters(texts)
    n_letters = letters.sum(axis=1)
    language = np.full(n, "", dtype=object)
    risk = np.full(n, np.nan)
    main = int(letters.sum(axis=0).argmax()) if n else -1
    if not n_letters.any():
        return Found(risk, {"language": language})
    has_letters = n_letters > 0
    outside = np.divide(n_letters - letters[:, main], n_letters, out=np.full(n, np.nan), where=has_letters)
    others = letters.copy()
    others[:, main] = 0
    for row in np.flatnonzero(outside > 0):
        language[row] = _NAMES[others[row].argmax()]
    if _NAMES[main] != "Latin":
        return Found(np.where(has_letters, outside, np.nan), {"language": language})
    by_words, guess = _by_words(texts)
    risk = np.where(np.isnan(by_words) & (outside == 0), np.nan, np.fmax(outside, by_words))
    for row in np.flatnonzero(by_words > np.nan_to_num(outside)):
        language[row] = _LANGUAGES[guess[row]]
    return Found(risk, {"language": language})


def languages_of(texts: Sequence[str | None]) -> list[str]:
    """The language of each text as far as it can be told, else its script, else ''.

    Of Latin scripts the listed language with the most different function words, LEAST_WORDS at least and more than any
    other; of other scripts their name.

    >>> languages_of(["how do I get the card", "где моя карта", "IBAN", "12:30"])
    ['English', 'Cyrillic', 'Latin', '']
    """
    letters = _letters(texts)
    counts = _function_words(texts)
    best = counts.max(axis=1, initial=0)
    is_told = (best >= LEAST_WORDS) & ((counts == best[:, None]).sum(axis=1) == 1)
    found = []
    for row, of_scripts in enumerate(letters):
        script = _NAMES[of_scripts.argmax()] if of_scripts.any() else ""
        found.append(_LANGUAGES[counts[row].argmax()] if script == "Latin" and is_told[row] else script)
    return found


def _function_words(texts: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Different function words of each language in each text, (n, n_languages)."""
    counts = np.zeros((len(texts), len(_LANGUAGES)), dtype=np.int64)
    for row, text in enumerate(texts):
        for word in set(_WORD.findall(text.lower())) if text else ():
            for place in _OF_WORD.get(word, ()):
                counts[row, place] += 1
    return counts


def _by_words(texts: Sequence[str | None]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Risk by function words, nan where there are too few; and the best other language."""
    counts = _function_words(texts)
    best = counts.max(axis=1, initial=0)
    can_tell = best >= LEAST_WORDS
    # A word that two languages share counts for both; a text goes to the one with the most words, none on a tie.
    is_single = (counts == best[:, None]).sum(axis=1) == 1
    votes = np.bincount(counts.argmax(axis=1)[can_tell & is_single], minlength=len(_LANGUAGES))
    main = int(votes.argmax())
    if votes[main] < max(1, MAIN_SHARE * votes.sum()):
        return np.full(len(texts), np.nan), np.zeros(len(texts), dtype=np.int64)
    own = counts[:, main].copy()
    counts[:, main] = 0
    other, guess = counts.max(axis=1), counts.argmax(axis=1)
    risk = np.where((other >= LEAST_WORDS) & (other > own), other / (other + own + 1), 0.0)
    return np.where(can_tell | (own > 0), risk, np.nan), guess


def _letters(texts: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Letters of each script in each text, (n, n_scripts)."""
    counts = np.zeros((len(texts), len(_NAMES)), dtype=np.int64)
    first = 0
    while first < len(texts):
        end, size, words = first, 0, []
        while end < len(texts) and size < _LETTERS_AT_ONCE:
            words.append("".join(_WORD.findall(texts[end] or "")))
            size += len(words[-1]) + 1
            end += 1
        codes = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), dtype="<u4")
        script = _PLACES[np.searchsorted(_STARTS, codes, side="right") - 1]
        rows = np.repeat(np.arange(first, end), [len(word) for word in words])
        is_known = script >= 0
        cells = (rows[is_known] - first) * len(_NAMES) + script[is_known]
        counts[first:end] = np.bincount(cells, minlength=(end - first) * len(_NAMES)).reshape(-1, len(_NAMES))
        first = end
    return counts
