import numpy as np
import pytest

from evals.triage.language import other_languages

ENGLISH = [
    "How do I activate my card when it arrives?", "What is the fee for a transfer to my account?",
    "I have not received the refund that you promised", "Can you tell me where the nearest machine is",
    "The top up was not successful, why is that?", "Please cancel the payment to this shop for me",
]  # fmt: skip
OTHERS = {
    "Spanish": "¿Cómo puedo activar mi tarjeta cuando llegue por correo? No la veo en la aplicación",
    "French": "Comment est-ce que je peux activer ma carte dans le magasin avec les autres?",
    "German": "Wie kann ich meine Karte aktivieren und was ist die Gebühr für das Konto?",
    "Italian": "Come posso attivare la carta che è arrivata con il corriere? Non mi è chiaro come si fa per gli altri",
    "Portuguese": "Como eu posso ativar o meu cartão? Não sei se você está com uma conta",
    "Dutch": "Hoe kan ik mijn kaart activeren en wat zijn de kosten voor het account? Dat is niet duidelijk",
    "Turkish": "Bu kart için ne kadar ödeme var ve nasıl daha sonra kullanılır",
    "Indonesian": "Bagaimana saya bisa mengaktifkan kartu ini dengan akun yang tidak ada",
    "Hausa": "Yadda zan kunna wannan kati kuma mai ya sa ba ta aiki a cikin shago",
}


@pytest.mark.parametrize("language", OTHERS)
def test_a_text_in_another_language_is_found(language: str) -> None:
    found = other_languages([*ENGLISH, OTHERS[language]])
    assert found.risk[-1] >= 0.7
    assert found.evidence["language"][-1] == language
    assert np.nanmax(found.risk[:-1]) == 0


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("где моя карта", "Cyrillic"), ("我的卡在哪里", "Chinese or Japanese"), ("카드가 어디에 있나요", "Korean"),
        ("أين بطاقتي", "Arabic"), ("मेरा कार्ड कहाँ है", "Devanagari"), ("πού είναι η κάρτα", "Greek"),
    ],
)  # fmt: skip
def test_a_text_in_another_script_is_found(text: str, script: str) -> None:
    found = other_languages([*ENGLISH, text, f"the word {text[0]}"])
    assert found.risk[-2] == 1
    assert found.evidence["language"][-2] == script
    assert 0 < found.risk[-1] < 0.2, "one letter of eight"


def test_the_main_language_is_that_of_the_data() -> None:
    texts = [
        OTHERS["German"],
        "Das ist nicht die Karte, die ich von der Bank habe",
        "Wie lange dauert es mit der Karte?",
    ]
    found = other_languages([*texts, ENGLISH[0]])
    assert found.risk.tolist()[:3] == [0, 0, 0]
    assert found.evidence["language"][3] == "English"
    cyrillic = other_languages(["где моя карта", "какая комиссия за перевод", "hello there"])
    assert cyrillic.risk.tolist() == [0, 0, 1]


def test_nothing_is_claimed_without_a_main_language_or_words() -> None:
    mixed = other_languages([ENGLISH[0], OTHERS["Spanish"], OTHERS["German"], OTHERS["French"]])
    assert np.isnan(mixed.risk).all(), "four languages, none of them half of the texts"
    few = other_languages([*ENGLISH, "hasta la vista baby", "Paris", "", "123", None])
    assert few.risk[-5:].tolist() == pytest.approx([np.nan] * 5, nan_ok=True)
    assert other_languages([]).risk.tolist() == []
    assert np.isnan(other_languages(["", None, "42"]).risk).all()
