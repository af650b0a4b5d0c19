"""The console's frame in a real browser: who comes in, who does not, and what survives a restart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2, user_pb2
from playwright.async_api import Page, expect

from tests.acceptance.browser import ConsoleBrowser, axe, connected, no_sideways_scroll, picture
from tests.acceptance.installation import ROOT, Installation, free_ports, wait_until

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]
TENANT = "metrica"
PASSWORD = "correct horse battery"
NASTY = "<img src=x onerror=document.title='owned'>"


async def user(
    console: ConsoleBrowser,
    email: str,
    role: user_pb2.User.Role.ValueType = user_pb2.User.ADMIN,
    name: str = "",
) -> user_pb2.User:
    request = user_pb2.CreateUserRequest(
        tenant_id=TENANT, email=email, display_name=name, role=role, password=PASSWORD
    )
    made: user_pb2.User = await console.operator.users.CreateUser(request)
    return made


async def submit(page: Page, email: str, password: str) -> None:
    """Sign in by keyboard alone: the address has the focus already."""
    await expect(page.get_by_label("E-mail address")).to_be_focused()
    await page.keyboard.press("ControlOrMeta+A")
    await page.keyboard.type(email)
    await page.keyboard.press("Tab")
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")


async def test_signing_in_by_keyboard_out_again_and_the_old_cookie_is_worthless(
    console: ConsoleBrowser,
) -> None:
    await user(console, "ana@shop.example", name="Ana Anić")
    page = await console.page(signed_in=False)
    await page.goto(console.url("/t/metrica/access"))
    await axe(page)
    await picture(page, "sign-in")
    await submit(page, "ana@shop.example", "not the password")
    await expect(page.get_by_role("alert")).to_have_text("The e-mail address or the password is wrong.")
    await axe(page)
    await submit(page, "ANA@shop.example", PASSWORD)
    await page.wait_for_url("**/t/metrica/access")
    await expect(page.get_by_text("Ana Anić · admin")).to_be_visible()
    cookies = await page.context.cookies()
    session = next(each for each in cookies if "gAAAA" in each["value"])
    assert session["httpOnly"] and session["sameSite"] == "Lax"
    await connected(page)
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    await page.context.add_cookies(
        [{"name": session["name"], "value": session["value"], "url": console.url()}]
    )
    await page.goto(console.url("/t/metrica/access"))
    assert urlsplit(page.url).path == "/sign-in"


async def test_too_many_wrong_passwords_are_told_to_wait(console: ConsoleBrowser) -> None:
    page = await console.page(signed_in=False)
    form: dict[str, str | float | bool] = {
        "way": "password",
        "email": "nobody@shop.example",
        "password": "wrong wrong wrong",
    }
    statuses = []
    for _ in range(7):
        answer = await page.request.post(
            console.url("/sign-in"),
            form=form,
            headers={"Origin": console.url("").rstrip("/")},
            max_redirects=0,
        )
        statuses.append(answer.status)
    assert statuses[0] == 401 and statuses[-1] == 429
    assert "Too many tries" in await answer.text()


async def test_another_tenant_is_not_there_and_an_agent_is_no_admin(console: ConsoleBrowser) -> None:
    await console.operator.tenants.CreateTenant(tenant_pb2.CreateTenantRequest(id="other", name=NASTY))
    await user(console, "iva@shop.example", user_pb2.User.AGENT, NASTY)
    page = await console.page(email="iva@shop.example", password=PASSWORD)
    for path, status in (
        ("/t/other/inbox", 404),
        ("/t/nowhere/inbox", 404),
        ("/t/metrica/access", 403),
        ("/all/tenants", 403),
        ("/nothing", 404),
    ):
        answer = await page.goto(console.url(path))
        assert answer is not None and answer.status == status, path
        await axe(page)
    operator = await console.page()
    await operator.goto(console.url("/t/metrica/access"))
    await connected(operator)
    await expect(operator.get_by_role("rowheader", name=NASTY)).to_be_visible()
    assert "owned" not in await operator.title()
    await operator.goto(console.url("/all/tenants"))
    await expect(operator.get_by_text(NASTY)).to_be_visible()
    assert "owned" not in await operator.title()


async def test_a_key_that_is_revoked_and_a_password_that_is_replaced_end_their_sessions(
    console: ConsoleBrowser,
) -> None:
    made = await console.operator.tenants.CreateApiKey(
        tenant_pb2.CreateApiKeyRequest(tenant_id=TENANT, name="for Eva", scopes=[Access.ADMIN])
    )
    eva = await user(console, "eva@shop.example")
    by_key = await console.page(key=made.token)
    by_password = await console.page(email="eva@shop.example", password=PASSWORD)
    for page in (by_key, by_password):
        await page.goto(console.url("/t/metrica/access"))
        await connected(page)
    await expect(by_key.get_by_text("for Eva · admin")).to_be_visible()
    await console.operator.tenants.RevokeApiKey(
        tenant_pb2.RevokeApiKeyRequest(tenant_id=TENANT, key_id=made.key.id)
    )
    await console.operator.users.UpdateUser(
        user_pb2.UpdateUserRequest(tenant_id=TENANT, user_id=eva.id, password=PASSWORD + "!")
    )
    for page in (by_key, by_password):
        await page.wait_for_url("**/sign-in?over*")
        await expect(page.get_by_role("status")).to_contain_text("Your session has ended")
    public = await console.operator.tenants.CreateApiKey(
        tenant_pb2.CreateApiKeyRequest(tenant_id=TENANT, name="chat", scopes=[Access.CHAT])
    )
    answer = await by_key.request.post(
        console.url("/sign-in"),
        form={"way": "key", "key": public.token},
        headers={"Origin": console.url("").rstrip("/")},
        max_redirects=0,
    )
    assert answer.status == 401 and "not for people" in await answer.text()


@contextmanager
def second_console(installation: Installation, **environment: str) -> Iterator[str]:
    """Another console of the same installation, with other settings; its address."""
    port = free_ports(1)[0]
    process = subprocess.Popen(
        [sys.executable, "-m", "services.console"],
        cwd=ROOT,
        env={
            **installation.environment,
            "ESCALATION_ADDRESS": f"localhost:{installation.environment['ESCALATION_PORT']}",
            "CONSOLE_PORT": str(port),
            **environment,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://localhost:{port}"

    def up() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(up, "the second console", 60)
        yield url
    finally:
        process.terminate()
        assert process.wait(30) == 0


async def test_a_session_that_idles_ends_and_what_was_typed_comes_back(console: ConsoleBrowser) -> None:
    await user(console, "mia@shop.example")
    with second_console(console.installation, CONSOLE_IDLE_SECONDS="12") as url:
        page = await console.page(signed_in=False)
        await page.goto(f"{url}/t/metrica/start")
        await submit(page, "mia@shop.example", PASSWORD)
        await page.wait_for_url("**/t/metrica/start")
        await connected(page)
        await page.get_by_label("A customer's question").fill("What I had written")
        await page.wait_for_url("**/sign-in?over*")
        await submit(page, "mia@shop.example", PASSWORD)
        await page.wait_for_url("**/t/metrica/start")
        await expect(page.get_by_label("A customer's question")).to_have_value("What I had written")


async def test_a_restart_of_either_process_keeps_what_was_typed(console: ConsoleBrowser) -> None:
    page = await console.page()
    await page.goto(console.url("/t/metrica/start"))
    await connected(page)
    question = page.get_by_label("A customer's question")
    await question.fill("How much does the Team plan cost?")

    # The back end: the banner comes and goes, the page stays as it is.
    with console.installation.frozen("services.escalation"):
        await expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
        await axe(page)
    await expect(page.get_by_text("The server cannot be reached.")).to_be_hidden()
    await expect(question).to_have_value("How much does the Team plan cost?")

    # The console itself: the page comes back by itself, signed in, with the text.
    old = await page.evaluate("window.clientId")
    console.installation.child("services.console").terminate()
    await page.wait_for_function(
        "old => window.clientId && window.clientId !== old && window.did_handshake", arg=old
    )
    await expect(question).to_have_value("How much does the Team plan cost?")
    await page.get_by_role("button", name="Ask").click()
    await expect(page.get_by_text("79 euros")).to_be_visible()
    await page.reload()
    await connected(page)
    await expect(question).to_have_value("")


async def test_the_operator_goes_from_tenant_to_tenant(console: ConsoleBrowser) -> None:
    for number in range(24):
        await console.operator.tenants.CreateTenant(
            tenant_pb2.CreateTenantRequest(id=f"many-{number:02}", name=f"Many {number:02}")
        )
    for id_, name in (("zuta", "Žuta kuća d.o.o."), ("nasty", NASTY)):
        await console.operator.tenants.CreateTenant(tenant_pb2.CreateTenantRequest(id=id_, name=name))
    page = await console.page()
    await page.goto(console.url("/t/metrica/events"))
    switcher = page.locator("[data-switcher]")
    await switcher.focus()
    await page.keyboard.press("Enter")
    search = page.get_by_role("combobox", name="Find a tenant")
    await expect(search).to_be_focused()
    options = page.get_by_role("option")
    await expect(options).to_have_count(20)
    await expect(page.get_by_role("status").filter(has_text="There are more")).to_be_visible()
    await page.keyboard.type("žUTA KUĆA")
    await expect(options).to_have_text(["Žuta kuća d.o.o.zuta"])
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await axe(page)
    # The same page of the other one.
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/t/zuta/events")
    await expect(switcher).to_contain_text("Žuta kuća")
    # A page of one conversation is none of the other's: its list is. The last ones come first.
    await page.goto(console.url("/t/nasty/conversations/none"))
    await expect(switcher).to_contain_text(NASTY)
    await switcher.click()
    await expect(options.first).to_contain_text("Žuta kuća")
    await expect(options.nth(1)).to_contain_text("Metrica")
    await picture(page, "tenant-switcher")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/t/metrica/conversations")
    # Away with Escape, and the focus is where it was.
    await switcher.click()
    await expect(search).to_be_focused()
    await search.fill("nobody has this name")
    await expect(page.get_by_text("No tenant matches.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(search).to_be_hidden()
    await expect(switcher).to_be_focused()
    await switcher.click()
    await page.get_by_role("link", name="All tenants").click()
    await page.wait_for_url("**/all/tenants")
    await connected(page)
    await page.get_by_label("Search by name or id").fill("MANY 1")
    await expect(page.locator(".card-link")).to_have_count(10)
    await expect(page.get_by_text("10 tenants")).to_be_visible()
    # What happened at all of them leads to the one that it happened at, under the same filters.
    await console.operator.tenants.UpdateTenant(
        tenant_pb2.UpdateTenantRequest(tenant_id="zuta", name="Žuta kuća", etag="")
    )
    await page.goto(console.url("/all/events?type=tenant.changed"))
    await page.get_by_role("link", name="Žuta kuća").click()
    await page.wait_for_url("**/t/zuta/events?type=tenant.changed")
    await expect(page.locator("tbody tr")).to_have_count(1)
    # Whoever has one tenant has nothing to switch, and is told of no other.
    await user(console, "one@shop.example", name="One")
    one = await console.page(email="one@shop.example", password=PASSWORD)
    await one.goto(console.url("/t/metrica/start"))
    await expect(one.locator(".tenant-name")).to_have_text("Metrica")
    await expect(one.locator("[data-switcher]")).to_have_count(0)
    answer = await one.request.get(console.url("/tenants?search=many"))
    assert answer.status == 403 and "many" not in await answer.text()
    for path in ("/all/events", "/all/dead-letters"):
        answer = await one.request.get(console.url(path))
        assert answer.status == 403
    async with httpx.AsyncClient() as nobody:
        assert (await nobody.get(console.url("/tenants"))).status_code == 303


async def test_every_page_of_the_frame_is_in_order(console: ConsoleBrowser) -> None:
    hosts = set()
    for language in ("en", "hr"):
        page = await console.page(language=language)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        for path, name in (
            ("/all/tenants", "tenants"),
            ("/all/new-tenant", "new-tenant"),
            ("/all/events", "all-events"),
            ("/all/dead-letters", "all-dead-letters"),
            ("/t/metrica/start", "start"),
            ("/t/metrica/access", "access"),
        ):
            answer = await page.goto(console.url(path))
            assert answer is not None and "default-src 'none'" in answer.headers["content-security-policy"]
            await connected(page)
            await axe(page)
            if language == "en":
                if name != "access":  # that one is pictured where it shows people with names of people
                    await picture(page, name)
                await page.emulate_media(color_scheme="dark")
                await page.wait_for_function("document.body.classList.contains('body--dark')")
                await page.set_viewport_size({"width": 390, "height": 844})
                await axe(page)
                await no_sideways_scroll(page)
                await page.emulate_media(color_scheme="light")
    assert hosts == {urlsplit(console.url()).netloc}
    assert [each for each in console.complaints if "Content Security Policy" in each] == []
    assert not (ROOT / ".nicegui").exists() or os.environ.get("METACHAT_PICTURES")


async def test_a_tenant_is_made_tried_and_opened_to_people(console: ConsoleBrowser) -> None:
    page = await console.page()
    await page.goto(console.url("/all/new-tenant"))
    await connected(page)
    await page.get_by_label("Name of the business").fill("Corner shop")
    await page.get_by_text("Add sample data").click()
    await page.get_by_role("button", name="Create the tenant").click()
    await page.wait_for_url("**/t/corner-shop/start")
    await connected(page)
    await expect(page.get_by_text("sample data", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Ask").click()
    await expect(page.get_by_text("4.90 euros")).to_be_visible()
    await picture(page, "first-question")
    await page.get_by_role("button", name="Remove sample data").click()
    dialog = page.get_by_role("dialog")
    await axe(page)
    await dialog.get_by_role("button", name="Remove sample data").click()
    await expect(page.get_by_text("The sample data are gone.")).to_be_visible()
    await expect(page.get_by_role("button", name="Add sample data")).to_be_visible()

    await page.get_by_role("link", name="People and keys").click()
    await connected(page)
    await page.get_by_role("button", name="Create a key").click()
    await dialog.get_by_label("What it is for").fill("our page")
    await dialog.get_by_role("button", name="Create a key").click()
    await expect(dialog.get_by_text("This is needed.")).to_be_visible()
    await dialog.get_by_label("Addresses of the web pages").fill("https://shop.example")
    await dialog.get_by_role("button", name="Create a key").click()
    await expect(dialog.get_by_text("/widget.js")).to_be_visible()
    token = await dialog.locator("code").first.inner_text()
    await dialog.get_by_role("button", name="I have copied it").click()
    await expect(page.get_by_text(token)).to_have_count(0)
    await expect(page.get_by_role("rowheader", name="our page")).to_be_visible()

    await page.get_by_role("button", name="Add a person").click()
    await dialog.get_by_label("E-mail address").fill("nonsense")
    await dialog.get_by_role("button", name="Add a person").click()
    await expect(dialog.get_by_text("Write an e-mail address: name@host")).to_be_visible()
    await dialog.get_by_label("E-mail address").fill("lea@shop.example")
    await dialog.get_by_label("Name that customers see").fill("Lea Novak")
    await dialog.get_by_role("button", name="Make one up").click()
    await dialog.get_by_role("button", name="Add a person").click()
    await expect(page.get_by_role("rowheader", name="Lea Novak")).to_be_visible()
    await picture(page, "access")
    # The focus is back where the dialog was opened, once it and its own button of that name are gone.
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("button", name="Add a person")).to_be_focused()
