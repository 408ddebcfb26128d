"""`tsforecast calendar` as a user meets it: on a terminal, in a pipe, as JSON and CSV, and with mistakes."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from tsforecast.calendars.days import day_table
from tsforecast.cli import main


def called(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(("calendar", *argv))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return code, captured.out, captured.err


def listed(word: str, first: int, last: int) -> pd.DataFrame:
    """What the list must hold, from the table of the library."""
    table = day_table(word, first, last)
    return table[(table["name"] != "") | table["bridge"]].reset_index(drop=True)


@pytest.mark.parametrize("word", ["KR", "US-CA", "NYSE"])
def test_a_pipe_gets_a_line_a_day(capsys: pytest.CaptureFixture[str], word: str) -> None:
    code, out, _ = called(capsys, word, "--from", "2024", "--to", "2027")
    assert code == 0
    head, *lines = out.splitlines()
    expected = listed(word, 2024, 2027)
    assert head.split() == ["date", "day", "name", *(["family"] if word == "KR" else []), "off", "run"]
    assert [line.split()[:2] for line in lines] == [
        [f"{when:%Y-%m-%d}", day] for when, day in zip(expected["date"], expected["weekday"], strict=True)
    ]
    bridges = [line[:10] for line in lines if "(bridge day)" in line]
    assert bridges == list(expected.loc[expected["bridge"], "date"].dt.strftime("%Y-%m-%d"))
    if word == "KR":
        assert "2026-02-17  Tue  설날 " in out
        assert " seollal     weekday  4 of 5" in out
        assert "2026-09-26  Sat  추석 다음날" in out


def test_json_and_csv_hold_the_same_days(capsys: pytest.CaptureFixture[str]) -> None:
    expected = listed("KR", 2026, 2026)
    _, out, _ = called(capsys, "KR", "--from", "2026", "--json")
    records = json.loads(out)
    assert [record["date"] for record in records] == list(expected["date"].dt.strftime("%Y-%m-%d"))
    _, out, _ = called(capsys, "KR", "--from", "2026", "--csv")
    table = pd.read_csv(io.StringIO(out), parse_dates=["date"], keep_default_na=False)
    assert table["date"].tolist() == expected["date"].tolist()
    for name in ("weekday", "name", "family", "off_weekday", "position", "run_days", "bridge", "source"):
        assert table[name].tolist() == expected[name].tolist(), name
        assert [record[name] for record in records] == expected[name].tolist(), name


def test_the_years_are_this_one_when_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = called(capsys, "--json")
    assert {record["date"][:4] for record in json.loads(out)} == {str(date.today().year)}


def test_its_csv_is_read_back_as_overrides(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    _, plain, _ = called(capsys, "KR", "--from", "2026", "--csv")
    file.write_text(plain, "utf-8-sig")
    assert called(capsys, "KR", "--from", "2026", "--csv", "--overrides", str(file))[:2] == (0, plain)
    mine = plain.replace("2026-06-03,Wed,지방선거일", "2026-06-03,Wed,").replace(
        "2026-03-01,Sun,삼일절", "2026-03-01,Sun,만세"
    )
    mine = mine.replace("2026-05-05,Tue,어린이날,children", "2026-05-05,Tue,어린이날,national")
    file.write_text(mine + "2026-04-22,Wed,창립기념일,temporary,,,,,\n", "utf-8-sig")
    code, out, _ = called(capsys, "KR", "--from", "2026", "--csv", "--overrides", str(file))
    assert code == 0
    former, now = plain.splitlines(), out.splitlines()
    changed = [line for line in now if line.endswith(",override")]
    assert [line[:10] for line in changed] == ["2026-03-01", "2026-04-22", "2026-05-05"]
    gone = {"2026-03-01", "2026-05-05", "2026-06-03"}
    assert [line for line in now if line not in changed] == [line for line in former if line[:10] not in gone]
    code, out, _ = called(capsys, "KR", "--from", "2026", "--overrides", str(file))
    assert out.splitlines()[0].split()[-1] == "source"


def test_a_terminal_gets_a_table_a_year() -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "tsforecast", "calendar", "KR", "--from", "2026", "--to", "2027"]
    done = subprocess.Popen(command, stdout=child, env=os.environ | {"COLUMNS": "90", "TERM": "xterm"})
    os.close(child)
    shown = b""
    try:
        while part := os.read(parent, 65536):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(parent)
    assert done.wait() == 0
    text = shown.decode()
    assert "KR 2026" in text
    assert "KR 2027" in text
    assert "\x1b[33m2026-05-04" in text  # a bridge day, yellow
    assert "\x1b[31m2026-05-05" in text  # a holiday, red
    words = " ".join(text.split())
    assert "run 3 of 5: third of five days off in a row" in words
    assert "off: a weekday, or lost to the weekend" in words


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m tsforecast calendar KR --from 1990 --to 2090 | head -2; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


WRONG = {
    "a name": (("korea",), "no holiday calendar 'korea' (did you mean KR?)"),
    "three letters": (("USA",), "did you mean US?"),
    "a region": (("US-CAL",), "did you mean US-CA"),
    "small letters": (("kr",), "did you mean KR?"),
    "backwards": (("KR", "--from", "2027", "--to", "2026"), "--to 2026 lies before --from 2027"),
    "too early": (("KR", "--from", "1900", "--to", "2000"), "covers 1948 to 2100; 1900 to 2000 is asked for"),
    "too late": (("KR", "--from", "2100", "--to", "2101"), "covers 1948 to 2100; 2100 to 2101 is asked for"),
    "no file": (("KR", "--overrides", "nowhere.csv"), "no overrides file 'nowhere.csv'"),
    "a folder": (("KR", "--overrides", "."), ". cannot be read as CSV"),
    "two formats": (("KR", "--json", "--csv"), "--json and --csv exclude each other"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_told_with_their_remedy(capsys: pytest.CaptureFixture[str], case: str) -> None:
    argv, message = WRONG[case]
    code, out, err = called(capsys, *argv)
    assert code == 30
    assert message in (json.loads(out)["message"] if "--json" in argv else err)


FILES = {
    "no dates": (b"day,name\n2026-04-20,x\n", "columns date and name; date is not there"),
    "no date at all": (b"date,name\nsoon,x\n", "the date 'soon' in row 0 cannot be read"),
    "twice": (b"date,name\n2026-04-20,x\n2026/4/20,y\n", "dates twice: 2026-04-20"),
    "a family": (b"date,name,family\n2026-04-20,x,fest\n", "no holiday family fest; there are new_year"),
    "another encoding": ("date,name\n2026-04-20,창립기념일\n".encode("cp949"), "is not UTF-8: save it"),
    "nothing": (b"", "cannot be read as CSV"),
}


@pytest.mark.parametrize("case", FILES)
def test_overrides_that_cannot_be_read_say_why(capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str) -> None:
    content, message = FILES[case]
    (tmp_path / "mine.csv").write_bytes(content)
    code, _, err = called(capsys, "KR", "--from", "2026", "--overrides", str(tmp_path / "mine.csv"))
    assert code == 30
    assert message in err
