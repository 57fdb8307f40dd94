import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage.personal import Personal, PersonalKind, find_personal, is_luhn, mask, personal_texts

CARDS = [  # numbers that issuers publish for testing
    "4111111111111111", "4012 8888 8888 1881", "5555-5555-5555-4444", "2223003122003222", "378282246310005",
    "6011111111111117", "3530111333300000", "30569309025904", "6212345678901232",
]  # fmt: skip
SECURITY = ["536-22-8145", "my ssn: 536228145", "Social Security number 001 01 0001"]
PHONES = [
    "+44 20 7946 0958", "+1 (212) 736-5000", "+49 (30) 901820", "0049 30 901820", "(212) 736-5000", "212-736-5000",
    "212.736.5000", "1-800-356-9377", "01 42 68 53 00", "030/90182000", "0171 5551234",
]  # fmt: skip
EMAILS = ["ann@mail.org", "a.b+c@sub.domain.co.uk", "jürgen@müller.de", "X_Y%z@a-b.museum", "mail <ann@mail.org>."]
NOTHING = [
    "", "call me", "2024-01-15 12:30:00", "15/01/2024", "01/15/2024", "31-12-1999", "room 101, floor 7",
    "€ 1,234,567.89",
    "order 4111111111111112", "1234567890123456", "0000000000000000", "ISBN 978-0-306-40615-7", "v1.2.3-4567890",
    "192.168.100.200", "550e8400-e29b-41d4-a716-446655440000", "666-12-3456", "000-12-3456", "900-12-3456",
    "123-00-4567", "123-45-0000", "078-05-1120", "3.14159265358979", "@someone", "ann@", "@mail.org", "a@b",
    "10:30-12:45", "1 2 3 4 5 6 7",
    "$600 x 2 = $1200 and 100 + 1200 = 1300", "2018 2019 2020 2021", "1500000000",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((PersonalKind.CARD, text) for text in CARDS),
        *((PersonalKind.SSN, text) for text in SECURITY),
        *((PersonalKind.PHONE, text) for text in PHONES),
        *((PersonalKind.EMAIL, text) for text in EMAILS),
    ],
)
def test_planted_data_are_found(kind: PersonalKind, text: str) -> None:
    for around in ("{}", "it is {}, thanks", "({})"):
        found = find_personal(around.format(text))
        assert [piece.kind for piece in found] == [kind]
        assert found[0].risk >= 0.6
        piece = around.format(text)[found[0].start : found[0].end]
        assert piece in text
        assert piece.strip("<>.") == piece


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it(text: str) -> None:
    assert [piece for piece in find_personal(text) if piece.risk >= 0.5] == []


@pytest.mark.parametrize("text", ["me@example.com", "a@sub.example.org", "x@localhost.test", "212-555-0147"])
def test_what_is_kept_for_examples_is_nobodys(text: str) -> None:
    assert [piece.risk for piece in find_personal(text)] == [0.2]


def test_a_plain_number_may_be_one() -> None:
    assert [piece.risk for piece in find_personal("2127365000")] == [0.4]


def test_pieces_do_not_overlap_and_are_masked() -> None:
    text = "ann@mail.org, 4111 1111 1111 1111, 536-22-8145 or +44 20 7946 0958"
    kinds = [piece.kind for piece in find_personal(text)]
    assert kinds == [PersonalKind.EMAIL, PersonalKind.CARD, PersonalKind.SSN, PersonalKind.PHONE]
    assert mask(text) == "[e-mail], [payment card], [social security number] or [telephone number]"


def test_texts_carry_the_surest_piece_and_nothing_of_it() -> None:
    texts = ["ann@mail.org and bob@mail.org", "me@example.com", "nothing", None, "4111111111111111 ann@mail.org"]
    found = personal_texts(texts)
    assert found.risk.tolist() == pytest.approx([0.9, 0.2, 0, np.nan, 0.95], nan_ok=True)
    assert found.evidence["kinds"].tolist() == ["e-mail (2)", "e-mail", "", "", "payment card, e-mail"]
    assert found.evidence["masked"][0] == "[e-mail] and [e-mail]"
    groups = {group.name: group.rows.tolist() for group in found.groups}
    assert groups == {"payment card": [4], "e-mail": [0, 1, 4]}
    assert personal_texts([]).groups == ()


@given(st.integers(0, 10**15 - 1))
def test_exactly_one_check_digit_fits(number: int) -> None:
    assert sum(is_luhn(f"{number:015d}{digit}") for digit in range(10)) == 1


def test_luhn_by_hand() -> None:
    assert is_luhn("79927398713")  # 7+9+9+4+7+6+9+7+7+2+3 = 70
    assert not is_luhn("79927398710")


@given(st.text(alphabet="0123456789 ()-+./@abc:", max_size=60))
def test_any_text_gives_pieces_in_order_within_it(text: str) -> None:
    found: list[Personal] = find_personal(text)
    ends = [0, *(end for piece in found for end in (piece.start, piece.end)), len(text)]
    assert ends == sorted(ends)
    assert all(0 < piece.risk <= 1 for piece in found)
