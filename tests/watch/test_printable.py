from sidecar.watch.printable import printable


def test_text_that_a_terminal_would_obey_is_shown_and_not_obeyed() -> None:
    assert printable("/charges/1") == "/charges/1"
    assert printable("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\\nc\\u202e"
