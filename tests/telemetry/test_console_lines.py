from sidecar.telemetry.console_lines import renderer


def test_an_event_is_a_line_of_columns_with_one_for_each_attempt() -> None:
    event = {
        "timestamp": "2026-01-01T00:00:00Z",
        "level": "warning",
        "event": "exchange",
        "target": "/\udcff",
        "attempts": [{"n": 1, "outcome": "503", "seconds": 0.1}, {"n": 2, "outcome": "200"}],
    }

    line = renderer(colours=False)(event).decode()

    assert line.startswith("2026-01-01T00:00:00Z [warning  ] exchange")
    assert "attempt_1='503 seconds=0.1' attempt_2=200" in line
    assert "\\udcff" in line
    assert "\n" not in line
