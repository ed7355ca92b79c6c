"""The page in a real browser: drawn with the mouse, trained, edited, shared.

No error on the console, no request to another host.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from scratchnet.playing.server import Server

pytestmark = pytest.mark.slow

BROWSER = os.environ.get("SCRATCHNET_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--no-first-run", "--no-proxy-server"]  # fmt: skip
SECONDS = 30_000  # milliseconds to wait for anything: a busy machine is slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not BROWSER:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in SCRATCHNET_CHROMIUM")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Any, server: Server) -> Iterator[Any]:
    """A window that notes errors and requests; at its end there must be none amiss."""
    amiss: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(SECONDS)
    context.on("page", lambda page: page.on("pageerror", lambda e: amiss.append(f"error: {e}")))
    context.on("console", lambda m: amiss.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
    context.on("request", lambda r: None if r.url.startswith(server.origin + "/") else amiss.append(r.url))
    yield context
    context.close()
    assert not amiss, "\n".join(amiss)


@pytest.fixture
def page(context: Any, server: Server) -> Any:
    page = context.new_page()
    page.goto(server.url)
    ready(page)
    return page


def ready(page: Any, view: str = "digits") -> None:
    page.locator(f'body[data-ready="{view}"]').wait_for(state="attached")


def seen(page: Any) -> int:
    return int(page.get_attribute("body", "data-seen"))


def changed(page: Any, selector: str, before: str) -> str:
    """The text there, as soon as it is another one."""
    for _ in range(SECONDS // 20):
        if (now := page.inner_text(selector)) != before:
            return now
        page.wait_for_timeout(20)
    raise AssertionError(f"{selector} still says {before!r}")


def draw_one(page: Any) -> None:
    """A vertical stroke with the mouse, in the middle of the pad."""
    box = page.locator(".pad").bounding_box()
    x, top = box["x"] + box["width"] / 2, box["y"] + 0.2 * box["height"]
    count = seen(page)
    page.mouse.move(x, top)
    page.mouse.down()
    page.mouse.move(x, top + 0.6 * box["height"], steps=12)
    page.mouse.up()
    for _ in range(SECONDS // 20):
        if seen(page) > count:
            break
        page.wait_for_timeout(20)
    page.wait_for_timeout(200)


def ink(page: Any, selector: str) -> list[int]:
    """The 784 pixels of a canvas."""
    script = """selector => Array.from(document.querySelector(selector).getContext("2d")
        .getImageData(0, 0, 28, 28).data).filter((_, k) => k % 4 === 0)"""
    return page.evaluate(script, selector)


def test_draw_and_read(page: Any) -> None:
    page.click('[data-do="clear"]')
    page.wait_for_timeout(200)
    assert not any(ink(page, ".pad"))
    draw_one(page)
    assert sum(v > 128 for v in ink(page, ".pad")) > 25
    assert sum(v > 128 for v in ink(page, ".layers canvas")) > 25  # what the network sees
    p = [float(text) for text in page.locator(".rows .row:not(.head) .value:nth-child(3)").all_inner_texts()]
    assert len(p) == 10 and abs(sum(p) - 1) < 0.01
    page.click('[data-do="erase"]')
    before = sum(ink(page, ".pad"))
    draw_one(page)
    assert sum(ink(page, ".pad")) < before / 2


def test_shift_and_centre(page: Any) -> None:
    page.uncheck(".centre")
    page.wait_for_timeout(200)
    before = ink(page, ".pad")
    page.click('[data-shift="1,0"]')
    page.wait_for_timeout(300)
    after = ink(page, ".pad")
    assert [after[28 * r + c + 1] for r in range(28) for c in range(27)] == [
        before[28 * r + c] for r in range(28) for c in range(27)
    ]
    assert ink(page, ".layers canvas") == after


def test_train_pause_step_and_undo(page: Any) -> None:
    assert page.is_disabled('[data-do="undo"]')
    page.click('[data-do="train"]')
    page.locator(".curve polyline.loss-line").wait_for()
    for _ in range(SECONDS // 50):
        if int(page.get_attribute("body", "data-frames") or 0) >= 10:
            break
        page.wait_for_timeout(50)
    assert page.inner_text('[data-do="train"]') == "Pause"
    page.click('[data-do="train"]')
    page.locator('[data-do="train"]:text("Train")').wait_for()
    trained = page.inner_text(".progress")
    assert not trained.startswith("0 steps") and "%" in trained
    page.check('input[name="label"][value="5"]')
    page.wait_for_timeout(300)
    page.click('[data-do="step"]')
    page.locator(".step-result table").wait_for()
    before, after = (float(cell) for cell in page.locator(".step-result tbody tr:first-child td").all_inner_texts())
    assert after < before
    page.click('[data-do="undo"]')
    assert page.inner_text(".progress").split()[0] == trained.split()[0] or changed(page, ".progress", "")
    page.click('[data-do="undo"]')
    page.locator('.progress:text-matches("^0 steps")').wait_for()


def test_every_number_has_its_formula(page: Any) -> None:
    before = page.inner_text(".formula")
    page.hover(".layer:nth-child(2) canvas >> nth=1")
    text = changed(page, ".formula", before)
    assert "δ" in text and "scratchnet/engine/" in text
    page.hover(".neuron canvas >> nth=1")
    text = changed(page, ".formula", text)
    assert "BP4" in text and "def bp4_weight" in text


def test_edit_check_and_switch_off(page: Any) -> None:
    page.fill(".weight", "5")
    before = page.inner_text(".loss")
    page.click('.neuron button:text("Set")')
    loss = changed(page, ".loss", before)
    page.click(".check-gradient")
    page.locator(".checked .same").wait_for()
    assert "They agree" in page.inner_text(".checked")
    page.click(".switch")
    changed(page, ".loss", loss)
    assert page.inner_text(".switch") == "Switch it on again"
    page.click('[data-do="undo"]')
    page.click('[data-do="undo"]')
    page.locator(f'.loss:text-is("{before}")').wait_for()


def test_what_is_wrong_is_said(page: Any) -> None:
    page.fill(".hidden", "5000")
    page.click('button:text("New network")')
    assert "300" in changed(page, "#status", "")


def test_a_message_stays_until_the_reader_acts(page: Any) -> None:
    page.fill(".hidden", "5000")
    page.click('button:text("New network")')
    changed(page, "#status", "")
    before = page.inner_text(".formula")
    page.hover(".neuron canvas >> nth=1")  # asks for an explanation, which must not take the message away
    changed(page, ".formula", before)
    assert "300" in page.inner_text("#status")
    page.click('[data-do="clear"]')
    page.locator('#status:text-is("")').wait_for(state="attached")


def test_the_address_holds_the_situation(page: Any, context: Any, server: Server) -> None:
    page.click('[data-do="clear"]')
    draw_one(page)
    page.check('input[name="label"][value="4"]')
    page.fill(".hidden", "9,8")
    page.select_option(".activation", "tanh")
    page.click('button:text("New network")')
    page.locator('.layers:has-text("Linear(9, 8)")').wait_for()
    page.wait_for_timeout(600)
    loss, address, drawing = page.inner_text(".loss"), page.url, ink(page, ".pad")
    assert "label=4" in address and len(address) < 1500
    page.reload()
    ready(page)
    assert page.inner_text(".loss").split()[-1] == "4"
    assert "Linear(9, 8)" in page.inner_text(".layers")
    now = ink(page, ".pad")
    assert max(abs(a - b) for a, b in zip(drawing, now)) <= 9  # 16 shades
    assert abs(float(page.inner_text(".loss").split()[2].rstrip(",")) - float(loss.split()[2].rstrip(","))) < 0.05


def test_by_keyboard_alone(page: Any) -> None:
    page.click('[data-do="clear"]')
    page.focus(".pad")
    for key in ["ArrowUp"] * 8 + ["Shift+ArrowDown"] * 16:
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert sum(v > 128 for v in ink(page, ".pad")) > 14
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.do") == "step":
            break
    else:
        raise AssertionError("Tab does not come to the button of one step")
    page.keyboard.press("Enter")
    page.locator(".step-result table").wait_for()
    page.focus(".layer:nth-child(2) canvas")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator('.neuron-title:text("Neuron 3 of layer 0")').wait_for()


def test_two_tabs_are_two_networks(page: Any, context: Any, server: Server) -> None:
    other = context.new_page()
    other.goto(server.url)
    ready(other)
    page.click('[data-do="step"]')
    page.locator('.progress:text-matches("^1 step\\\\b")').wait_for()
    assert other.inner_text(".progress").startswith("0 steps")
    other.close()


@pytest.mark.parametrize("size", [(1280, 720), (1024, 768)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(browser: Any, server: Server, size: tuple[int, int], scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, has_touch=size[0] == 1024
    )
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    page.goto(server.url)
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for column in page.locator(".column").all():
        assert column.evaluate("e => e.scrollWidth <= e.clientWidth")
    context.close()


def test_the_plane_learns_and_takes_points(page: Any, server: Server) -> None:
    page.click('[data-view="plane"]')
    ready(page, "plane")
    page.select_option(".presets", "circles")
    page.locator('.about:has-text("circle")').wait_for()
    page.click('[data-do="train"]')
    page.locator('.progress:text-matches("Its points: .* (9\\\\d\\\\.\\\\d|100\\\\.0)% right")').wait_for()
    page.click('[data-do="train"]')
    page.click(".plane canvas", position={"x": 60, "y": 60})
    page.locator('.about:has-text("of your own")').wait_for()
    page.wait_for_timeout(400)
    assert "points=" in page.url and page.locator(".dots circle").count() == 1
    page.reload()
    ready(page, "plane")
    assert page.locator(".dots circle").count() == 1


def test_a_window_of_a_convolution(page: Any) -> None:
    page.click('[data-view="convolution"]')
    ready(page, "convolution")
    page.hover(".layer:nth-child(2) canvas >> nth=0")
    page.locator('.formula .window:has-text("sum of the products")').wait_for()
    page.hover(".layer:nth-child(4) canvas >> nth=0")
    page.locator('.formula .window:has-text("the largest")').wait_for()


def test_letters_through_an_lstm(page: Any) -> None:
    page.click('[data-view="sequence"]')
    ready(page, "sequence")
    page.fill(".text", "dabcabcabc")
    page.locator('.letters:has-text("d") >> nth=0').wait_for()
    page.click('[data-do="train"]')
    page.locator('.answers tr:has-text("LSTM"):has-text("100%")').wait_for()
    page.click('[data-do="train"]')
    assert float(page.locator(".answers tbody tr:first-child td").nth(3).inner_text()) > 0.5
    page.hover(".gates canvas >> nth=1")
    page.locator('.formula:has-text("lstm.py")').wait_for()
    page.wait_for_timeout(400)
    assert "text=dabcabcabc" in page.url
    page.reload()
    ready(page, "sequence")
    assert page.input_value(".text") == "dabcabcabc"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["digits", "plane", "convolution", "sequence"])
def test_the_rules_of_axe_find_nothing(browser: Any, server: Server, view: str, scheme: str) -> None:
    """The rules of axe-core: names for screen readers, contrast, headings, and more."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    page.goto(server.url)
    ready(page)
    if view == "digits":
        draw_one(page)
    else:
        page.click(f'[data-view="{view}"]')
        ready(page, view)
    page.wait_for_timeout(300)
    found = axe.Axe().run(page).response["violations"]
    assert not found, "\n".join(f"{rule['id']}: {node['html']} {node['failureSummary']}"
                                for rule in found for node in rule["nodes"][:3])  # fmt: skip
    page.evaluate("document.body.append(document.createElement('img'))")
    assert "image-alt" in [rule["id"] for rule in axe.Axe().run(page).response["violations"]]  # it does look
    context.close()
