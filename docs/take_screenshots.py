"""Take the pictures of the README: `python docs/take_screenshots.py --store demo.db`.

Starts the dashboard on the store, opens every view in headless Chromium at 1440 × 900, in light and dark, and writes
`docs/images/NAME-{light,dark}.png`. Needs the extra `dev` and a Chromium (`--chromium PATH`, else the one on PATH).
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from store import get_evaluation, list_predictions, list_runs, list_sweeps, open_readonly

ROOT = Path(__file__).resolve().parents[1]
DRAWN = (
    "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
    " && !document.querySelector('[data-testid=stSkeleton]')"
)


def main() -> None:
    """Parse, serve, shoot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("assay.db"))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    if not options.chromium:
        parser.error("there is no Chromium on PATH; name one with --chromium PATH")
    views = addresses(options.store)
    options.out.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(port)]
    command += ["--", "--store", str(options.store.resolve())]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://localhost:{port}/_stcore/health")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                size = {"width": 1440, "height": 900}
                page = browser.new_context(viewport=size, color_scheme=scheme).new_page()  # type: ignore[arg-type]  # literals
                for name, address in views.items():
                    shoot(page, f"http://localhost:{port}/{address}", options.out / f"{name}-{scheme}.png")
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


def addresses(store_path: Path) -> dict[str, str]:
    """Picture → page of the dashboard, about the two best comparable runs of the store (oldest first)."""
    store = open_readonly(store_path)
    finished = list_runs(store, status=["finished"], sort="value").dropna(subset=["value", "dataset"])
    pair = (
        finished[finished["dataset"] == finished["dataset"].iloc[0]].sort_values("created_at").drop_duplicates("method")
    )
    first, last = pair.iloc[0], pair.iloc[-1]
    runs = {"runs": f"{first['id']},{last['id']}"}
    evaluation = get_evaluation(store, int(last["key"]), "test") or get_evaluation(
        store, int(last["key"]), "validation"
    )
    worst = list_predictions(store, evaluation, wrong_only=True, limit=1) if evaluation else None
    sweeps = list_sweeps(store)
    store.close()
    found = {
        "runs": "",
        "run": "run?" + urlencode({"run": last["id"]}),
        "classes": "run?" + urlencode({"run": last["id"], "tab": "Classes"}),
        "compare": "compare?" + urlencode({**runs, "kind": "fixed"}),
        "curves": "compare?" + urlencode({**runs, "section": "Curves"}),
    }
    found["new-run"] = "new_run?" + urlencode({"clone": last["id"]})
    if len(sweeps):
        found["sweep"] = "sweep?" + urlencode({"sweep": sweeps["id"].iloc[0]})
    if worst is not None and len(worst):
        found["example"] = "compare?" + urlencode({**runs, "example": worst["example_id"].iloc[0]})
    return found


def wait_for(address: str, seconds: float = 60.0) -> None:
    """Return when the server answers; raises TimeoutError when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"the dashboard did not answer at {address} within {seconds:.0f} seconds")


def shoot(page: Page, address: str, path: Path) -> None:
    """One picture, once everything is drawn."""
    page.goto(address)
    page.get_by_test_id("stMainBlockContainer").wait_for()
    page.wait_for_timeout(1000)
    page.wait_for_function(DRAWN, timeout=60_000)
    page.wait_for_timeout(1500)  # tables and charts draw themselves after the script has ended
    page.screenshot(path=path)
    shrink(path)


def shrink(path: Path) -> None:
    """The same picture in fewer bytes, without loss: a palette would turn the small coloured marks grey."""
    with Image.open(path) as picture:
        picture.convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main()
