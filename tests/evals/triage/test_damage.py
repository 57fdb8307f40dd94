import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage.damage import damaged_texts, repair

TEXTS = [
    "café",
    "don’t",
    "naïve résumé",
    "Ça va — très bien…",
    "Größe 10 €",
    "Привет, как дела?",
    "Żółć",
    "日本語",
    "😀 ok",
]


def misread(text: str, encoding: str) -> str:
    """As a program shows UTF-8 that takes it for a one-byte encoding; bytes that it lacks become Latin-1 ones."""
    return "".join(
        bytes([byte]).decode(encoding, "ignore") or bytes([byte]).decode("latin-1") for byte in text.encode("utf-8")
    )


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("text", TEXTS)
def test_misread_text_is_found_and_undone(text: str, encoding: str) -> None:
    found = damaged_texts([misread(text, encoding)])
    assert 0.5 < found.risk[0] <= 1
    assert found.evidence["text"][0] == text
    assert repair(misread(misread(text, encoding), encoding)) == text, "twice misread, twice undone"


PRINT = [
    *TEXTS,
    "„Spaß” und „Größe”", "JOSÉ® and CAFÉ™", "«É» “MAÇÔ…", "PŘÍŠTÍ ZASTÁVKA, VÝŽIVA", "voilà\xa0! garçon\xa0: où ?",
    "…“café…” — ‘é’”", "São João é ótimo; não há mãe", "ÂGE, ÂNE", "Ürün Çağrı", "x² × 3µm ±1°", "",
    "plain text\nwith lines\t",
]  # fmt: skip


@pytest.mark.parametrize("text", PRINT)
def test_print_is_not_damaged(text: str) -> None:
    found = damaged_texts([text])
    assert found.risk.tolist() == [0.0]
    assert repair(text) == text


def test_lost_characters_are_told_but_not_mended() -> None:
    found = damaged_texts(["caf\ufffd", "a\x00b", "half \ud83d", "cafÃ© caf\ufffd", None])
    assert (found.risk[:4] > 0.5).all()
    assert np.isnan(found.risk[4])
    assert found.evidence["text"].tolist() == [""] * 5
    assert found.evidence["damaged"].tolist() == ["\ufffd", "\x00", "\ud83d", "\ufffd", ""]


@given(st.text(max_size=60))
def test_any_text_has_a_risk_in_its_range(text: str) -> None:
    assert 0 <= damaged_texts([text]).risk[0] <= 1
