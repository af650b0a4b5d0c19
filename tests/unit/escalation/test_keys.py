import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Kind, ServiceError
from services.escalation.accounts import keys

ID = "0123456789abcdef"
SECRET = bytes(range(32))
TOKEN = keys.format_token(ID, SECRET)


def stored(**changes):
    values = {
        "id": ID,
        "tenant_id": "metrica",
        "digest": keys.digest_of(TOKEN),
        "scopes": ("CHAT",),
        "allowed_origins": (),
        "revoked": False,
    }
    return keys.StoredKey(**(values | changes))


def test_a_token_carries_its_id():
    assert TOKEN.startswith(f"mcm_{ID}_")
    assert keys.key_id_of(TOKEN) == ID


def test_a_token_opens_its_own_key_only_while_it_is_good():
    assert keys.opens(TOKEN, stored())
    assert not keys.opens(TOKEN, stored(revoked=True))
    other = keys.format_token(ID, bytes(32))
    assert not keys.opens(other, stored())


@given(st.binary(min_size=32, max_size=32))
def test_any_secret_makes_a_token_that_is_read_back(secret):
    token = keys.format_token(ID, secret)
    assert keys.key_id_of(token) == ID
    assert keys.opens(token, stored(digest=keys.digest_of(token)))


@given(st.text(max_size=100))
def test_no_other_text_is_taken_for_a_token(text):
    assert keys.key_id_of(text) is None
    assert keys.key_id_of(TOKEN + text) == (ID if text == "" else None)


@pytest.mark.parametrize(
    "key_id, secret", [("short", SECRET), (ID.upper(), SECRET), (ID, SECRET[1:]), (ID, b"")]
)
def test_a_malformed_token_is_never_made(key_id, secret):
    with pytest.raises(ValueError):
        keys.format_token(key_id, secret)


def test_scopes_survive_the_way_through_the_database():
    names = keys.scope_names([4, 2, 2])
    assert names == ("CHAT", "ADMIN")
    assert keys.scope_numbers(names) == (2, 4)
    assert keys.scope_numbers(["CHAT", "A_LATER_SCOPE"]) == (2,)


@pytest.mark.parametrize(
    "scopes, origins, field",
    [
        (("PUBLIC",), (), "allowed_origins"),
        (("PUBLIC", "ADMIN"), ("https://shop.example",), "scopes"),
        (("CHAT",), ("https://shop.example",), "allowed_origins"),
    ],
)
def test_a_key_that_would_open_too_much_is_refused(scopes, origins, field):
    with pytest.raises(ServiceError) as refused:
        keys.check_new_key(scopes, origins)
    assert refused.value.kind is Kind.INVALID
    assert refused.value.fields[0].field == field


def test_ordinary_keys_are_accepted():
    keys.check_new_key(("PUBLIC",), ("https://shop.example",))
    keys.check_new_key(("CHAT", "AGENT", "ADMIN"), ())


@pytest.mark.parametrize(
    "given_origin, origin",
    [
        ("https://Shop.Example", "https://shop.example"),
        ("https://shop.example:443/", "https://shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(given_origin, origin):
    assert keys.normal_origin(given_origin, "allowed_origins[0]") == origin


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "shop.example",
        "https://",
        "https://shop.example/path",
        "https://a@shop.example",
        "https://shop.example?x=1",
        "javascript:alert(1)",
        "https://shop.example:99999",
        "https://shöp.example",
        "https://sh op.example",
    ],
)
def test_what_is_no_origin_is_refused_by_its_field(origin):
    with pytest.raises(ServiceError) as refused:
        keys.normal_origin(origin, "allowed_origins[3]")
    assert refused.value.fields[0].field == "allowed_origins[3]"
