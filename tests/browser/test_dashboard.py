"""What a lab manager sees in a browser after a sweep."""

import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(900)]
Picture = Callable[..., None]


def seen(page: Any, text: str | re.Pattern[str]) -> Any:
    """The first element with this text, once it can be seen."""
    element = page.get_by_text(text).first
    element.wait_for(state="visible")
    return element


def test_the_runs_say_which_recording_they_are_about(page: Any, dashboard: Any, picture_of: Picture) -> None:
    page.set_viewport_size({"width": 1200, "height": 1020})
    page.goto(f"{dashboard.address}/v2/runs")
    for name in ("sweep of landing", "mouse-17/session-1.raw", "mouse-18/session-1.raw"):
        seen(page, name)
    seen(page, "Completed")
    assert "session-1-raw" in seen(page, re.compile("^mouse-17-session-1-raw")).inner_text()
    picture_of("runs")


def open_artifact(page: Any, name: str) -> None:
    """From a list of artifacts by the page of its versions to the newest of them."""
    page.get_by_role("heading", name=name).click()
    page.get_by_role("link", name=re.compile("^[0-9a-f]{8}$")).first.click()


def test_a_report_shows_what_was_made_of_a_recording_with_a_picture(
    page: Any, dashboard: Any, picture_of: Picture
) -> None:
    page.set_viewport_size({"width": 1200, "height": 1340})
    page.goto(f"{dashboard.address}/v2/runs")
    seen(page, "mouse-17/session-1.raw").click()
    page.get_by_role("tab", name="Artifacts").click()
    open_artifact(page, "mouse-17-session-1-raw-")
    seen(page, "mouse-17/session-1.raw is stored")
    for fact in (
        "t 600, y 128, x 128",
        "uint16",
        "30 Hz: 20 s in all",
        "1.5 x 1.5 µm",
        "18.8 MiB of pixels in",
        "equal",
    ):
        seen(page, fact)
    seen(page, str(dashboard.archive / "mouse-17" / "session-1.zarr"))
    picture = page.get_by_role("img", name="mean image")
    picture.wait_for(state="visible")
    page.wait_for_function("picture => picture.complete", arg=picture.element_handle())
    assert picture.evaluate("picture => picture.naturalWidth") > 300
    assert picture.bounding_box()["width"] > 300
    picture_of("report")


def test_the_table_of_the_sweep_says_what_is_refused_and_why(page: Any, dashboard: Any, picture_of: Picture) -> None:
    page.set_viewport_size({"width": 1200, "height": 1230})
    page.goto(f"{dashboard.address}/v2/artifacts")
    open_artifact(page, "sweep-of-lab-landing-")
    seen(page, "Sweep of landing")
    for text in (
        "2 stored, 2 refused, 0 failed, 1 waiting, 0 stored before",
        "mouse-19/cut-short.raw",
        "size-mismatch",
        re.compile("found 3276000 bytes: 99 samples and 31968 bytes more"),
        "mouse-19/no-such-type.layout.json",
        "layout-invalid",
        "mouse-20/being-copied.raw",
        str(dashboard.archive / "mouse-18" / "session-1.zarr"),
    ):
        seen(page, text)
    picture_of("sweep")


def test_the_form_of_the_deployment_explains_its_settings(page: Any, dashboard: Any, picture_of: Picture) -> None:
    page.set_viewport_size({"width": 1200, "height": 1250})
    (ingest,) = dashboard.ask("deployments", deployments={"name": {"any_": ["ingest"]}})
    page.goto(f"{dashboard.address}/v2/deployments/deployment/{ingest['id']}/run")
    seen(page, "Folder that recordings are put into, at any depth. It is only read.")
    seen(page, "A recording whose files changed more recently than this is waited for.")
    typed = page.locator("textarea").first
    typed.wait_for()
    assert typed.input_value() == str(dashboard.landing)
    picture_of("form")


def percent_shown(page: Any) -> int | None:
    """How far the page of a run says that it is, if it does; it shows what was there when it was loaded."""
    page.reload()
    progress = page.get_by_text(re.compile(r"^\d+ %"))
    progress.or_(page.get_by_text("This flow run did not produce any artifacts")).first.wait_for(state="visible")
    return int(progress.first.inner_text().split()[0]) if progress.count() else None


def test_progress_moves_while_windows_are_written(page: Any, dashboard: Any, picture_of: Picture) -> None:
    with dashboard.convert() as conversion:
        address = re.search(r"http\S+", conversion.stderr.readline())
        assert address is not None
        page.goto(f"{address[0]}?tab=Artifacts")
        shown: list[int | None] = []
        while len(set(shown) - {None, 100}) < 2 and conversion.poll() is None:
            shown.append(percent_shown(page))
            picture_of("progress")
        conversion.communicate()
    assert conversion.returncode == 0
    moving = [percent for percent in shown if percent is not None]
    assert len(set(moving)) >= 2, shown
    assert moving == sorted(moving)
    assert percent_shown(page) == 100
