# SPDX-License-Identifier: BSD-3-Clause
"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import InvalidOption
from trainer.quantities import parse_bytes, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("2m", 120), ("1.5h", 5400), (" .5 min ", 30), ("1.H", 3600)],
)
def test_durations(text, seconds):
    assert parse_duration("--time-budget", text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("300000", 300_000),
        ("500k", 500_000),
        ("2M", 2_000_000),
        ("64KiB", 65_536),
        ("1.5 MiB", 1_572_864),
        ("1g", 10**9),
        ("7B", 7),
    ],
)
def test_sizes(text, count):
    assert parse_bytes("--target-size", text) == count


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "0", "0s", "1d", "1e3", "nan", "inf", "1,5", "3 0", "٣", "1h30m", "9e99"]
)
def test_what_is_no_duration(text):
    with pytest.raises(
        InvalidOption, match=r"--time-budget '.*' is not a duration above 0; write 90, 30s, 2m or 1\.5h"
    ):
        parse_duration("--time-budget", text)


@pytest.mark.parametrize("text", ["", "k", "-1", "0", "0.5", "5x", "1e6", "nan", "99999999999G"])
def test_what_is_no_size(text):
    with pytest.raises(InvalidOption, match=r"--target-size '.*' is not a number of bytes"):
        parse_bytes("--target-size", text)


@given(st.floats(1e-3, 1e5), st.sampled_from([("", 1), ("s", 1), ("m", 60), ("h", 3600)]))
def test_any_duration(number, unit):
    assert parse_duration("-t", f"{number:.6f}{unit[0]}") == pytest.approx(float(f"{number:.6f}") * unit[1])


@given(st.integers(1, 10**6), st.sampled_from([("", 1), ("kB", 1000), ("KiB", 1024), ("mib", 2**20)]))
def test_any_size(number, unit):
    assert parse_bytes("-s", f"{number}{unit[0]}") == number * unit[1]


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_one_clear_error(text):
    for parse in (parse_duration, parse_bytes):
        message = None
        try:
            amount = parse("--option", text)
        except InvalidOption as error:
            amount, message = None, str(error)
        assert amount is None or amount > 0
        assert message is None or message.startswith("--option")
