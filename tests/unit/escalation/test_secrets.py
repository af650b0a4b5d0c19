import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.settings import Secret
from services.escalation.secrets.box import SecretBox, SecretUnreadable

OLD = "the-old-key-of-this-installation"
NEW = "the-new-key-of-this-installation"


def box(*keys):
    return SecretBox(Secret(",".join(keys)))


def seal(secret_box, text="sk-123"):
    return secret_box.seal(Secret(text), tenant_id="metrica", name="llm.apiKey")


def opened(secret_box, sealed, *, tenant_id="metrica", name="llm.apiKey"):
    return secret_box.open(sealed, tenant_id=tenant_id, name=name).reveal()


@given(st.text(max_size=200))
def test_what_was_sealed_opens_again(text):
    one = box(OLD)
    assert opened(one, seal(one, text)) == text


def test_the_text_does_not_stand_in_what_is_stored():
    assert b"sk-123" not in seal(box(OLD))


def test_the_same_secret_is_sealed_differently_each_time():
    one = box(OLD)
    assert seal(one) != seal(one)


@pytest.mark.parametrize(
    "moved",
    [{"tenant_id": "other"}, {"name": "channel.whatsapp"}, {"tenant_id": "metric", "name": "allm.apiKey"}],
)
def test_a_sealed_secret_opens_only_where_it_belongs(moved):
    one = box(OLD)
    with pytest.raises(SecretUnreadable):
        opened(one, seal(one), **moved)


@given(st.integers(min_value=0, max_value=38), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(position, change):
    one = box(OLD)
    sealed = bytearray(seal(one))
    sealed[position] ^= change
    with pytest.raises(SecretUnreadable):
        opened(one, bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 20, b"\x02" * 64])
def test_rubbish_is_no_secret(sealed):
    with pytest.raises(SecretUnreadable):
        opened(box(OLD), sealed)


def test_rotation_reads_the_old_and_writes_the_new():
    sealed = seal(box(OLD))
    both = box(NEW, OLD)
    assert opened(both, sealed) == "sk-123"
    assert both.key_id == box(NEW).key_id != box(OLD).key_id
    assert opened(box(NEW), seal(both)) == "sk-123"


def test_a_key_that_was_taken_away_is_named_and_the_content_is_not():
    with pytest.raises(SecretUnreadable, match="METACHAT_SECRET_KEY does not hold") as unreadable:
        opened(box(NEW), seal(box(OLD)))
    assert "sk-123" not in str(unreadable.value)


@pytest.mark.parametrize("keys", ["", " , ,"])
def test_a_box_needs_a_key(keys):
    with pytest.raises(ValueError, match="METACHAT_SECRET_KEY"):
        SecretBox(Secret(keys))
