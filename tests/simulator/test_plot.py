"""Plots are well-formed, and say what they show."""

from xml.etree import ElementTree

from sidecar.simulator.plot import PlotLine, heat, lines


def test_lines_are_svg_with_a_name_a_key_each_and_the_trouble_shaded() -> None:
    drawn = lines(
        "a <b> & c", [PlotLine("A", [1.0, 2.0, None], "a"), PlotLine("B", [0.0, 4.0, 3.0], "b")], 0.5, [(0.5, 1.0)], ""
    )

    figure = ElementTree.fromstring(drawn)
    assert figure.find("svg") is not None
    assert len(figure.findall("svg/polyline")) == 2
    assert len(figure.findall("svg/rect")) == 1
    assert [key.text or "".join(key.itertext()) for key in figure.findall(".//span[@class='key']")] == ["A", "B"]
    assert figure.find("svg").attrib["aria-label"] == "a <b> & c"  # type: ignore[union-attr]


def test_no_point_lies_outside_the_plot() -> None:
    drawn = lines("x", [PlotLine("A", [0.0, 123_456.0], "a")], 1.0, [], "%")

    points = ElementTree.fromstring(drawn).find("svg/polyline").attrib["points"].split()  # type: ignore[union-attr]
    assert all(0 <= float(value) <= 720 for point in points for value in point.split(","))


def test_a_map_shows_every_place_and_where_there_is_no_recovery() -> None:
    drawn = heat("policy", [0.9, 0.5], [1.0, 5.0], [[2.0, None], [0.0, 0.5]], 20.0)

    texts = [text.text for text in ElementTree.fromstring(drawn).findall("svg/text")]
    assert texts == ["90%", "2.0", "∞", "50%", "0.0", "0.5", "1 s", "5 s"]
