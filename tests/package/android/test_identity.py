from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import PackageError
from edgekit.package.android import identity
from edgekit.package.android.identity import MAX_ID, default_id, version_code

BASE = "ai.edgekit.demo"


def who(
    file: str = "birds.tflite", app_id: str | None = None, name: str | None = None, version: str = "1.0.0"
) -> identity.Identity:
    return identity.identity(Path("some/folder") / file, BASE, app_id, name, version)


@pytest.mark.parametrize(
    ("file", "app_id", "name"),
    [
        ("birds.tflite", "birds", "birds"),
        ("digits.int8.tflite", "digits_int8", "digits.int8"),
        ("My Model (2).tflite", "my_model_2", "My Model (2)"),
        ("2birds.tflite", "model_2birds", "2birds"),
        ("class.tflite", "model_class", "class"),
        ("_x_.bin", "x_bin", "_x_.bin"),
        ("Vögel.tflite", "v_gel", "Vögel"),
        ("鳥.tflite", "", "鳥"),
        ("a\n\x1b[31mb.tflite", "a_31mb", "a[31mb"),
        (f"{'x' * 240}.tflite", "x" * 60, "x" * 100),
    ],
)
def test_what_is_made_of_a_file_name(file: str, app_id: str, name: str) -> None:
    found = who(file)
    if file.startswith("鳥"):
        assert found.app_id.startswith(f"{BASE}.model_")
        assert found.app_id != who("魚.tflite").app_id
    else:
        assert found.app_id == f"{BASE}.{app_id}"
    assert found.name == name
    assert identity.identity(Path(file), BASE, found.app_id, None, "1").app_id == found.app_id  # it is a valid one


def test_two_models_can_be_installed_side_by_side() -> None:
    assert default_id(BASE, "digits.int8") != default_id(BASE, "digits.float16")


@pytest.mark.parametrize("app_id", ["com.example.birds", "a.b", "Com.Example.Birds_2", f"a.{'b' * (MAX_ID - 2)}"])
def test_possible_ids(app_id: str) -> None:
    assert who(app_id=app_id).app_id == app_id


@pytest.mark.parametrize(
    ("app_id", "reason"),
    [
        ("birds", "it has no dot"),
        ("", "it has no dot"),
        ("com.", "its part '' is not a letter"),
        (".birds", "its part '' is not a letter"),
        ("com..birds", "its part ''"),
        ("com.2birds", "its part '2birds'"),
        ("com._birds", "its part '_birds'"),
        ("com.my-birds", "its part 'my-birds'"),
        ("com.my birds", "its part 'my birds'"),
        ("com.vögel", "its part 'vögel'"),
        ("com.birds\n", "its part 'birds�'"),
        ("com.٣", "its part '٣'"),
        ("com.class.birds", "'class' is a keyword of Java"),
        ("com.example.null", "'null' is a keyword of Java"),
        (f"a.{'b' * (MAX_ID - 1)}", "it has 224 characters, and 223 are possible"),
    ],
)
def test_impossible_ids(app_id: str, reason: str) -> None:
    with pytest.raises(PackageError) as caught:
        who(app_id=app_id)
    assert reason in caught.value.message
    assert caught.value.hint == "Give one like com.example.birds."


@pytest.mark.parametrize(
    "name",
    ["Birds", "Vögel 🐦", "👩‍👩‍👧", "טירות", "مرحبا‏", 'a "quoted" one', "it's", "<b>&amp;", "@string/x", "x" * 100],
)
def test_possible_names(name: str) -> None:
    assert who(name=name).name == name


def test_space_around_a_name_is_left_out() -> None:
    assert who(name="  Birds ").name == "Birds"


@pytest.mark.parametrize("name", ["", "   ", "two\nlines", "a\tb", "a\0b", "a\u2028b", "\udc80", "x" * 101])
def test_impossible_names(name: str) -> None:
    with pytest.raises(PackageError, match=r"The app's name .* is not possible"):
        who(name=name)


@pytest.mark.parametrize(
    ("version", "code"),
    [("1.0.0", 1_000_000), ("1", 1_000_000), ("0.1", 1000), ("0.0.1", 1), ("2.13.999", 2_013_999),
     ("2099.999.999", 2_099_999_999)],
)
def test_versions(version: str, code: int) -> None:
    assert (who(version=version).version, who(version=version).version_code) == (version, code)


@pytest.mark.parametrize(
    "version", ["", "0", "0.0.0", "v1", "1.0.0-beta", "1.2.3.4", "1.1000", "2100", "-1", "1.", "١.٠", "1.0\n"]
)
def test_impossible_versions(version: str) -> None:
    with pytest.raises(PackageError, match=r"The version .* is not possible"):
        version_code(version)


def test_versions_are_ordered_as_their_codes() -> None:
    versions = ["0.0.1", "0.0.999", "0.1", "0.999.999", "1", "1.0.1", "1.1", "2"]
    codes = [version_code(version) for version in versions]
    assert codes == sorted(set(codes))


def test_the_keywords_of_java() -> None:
    assert {"class", "int", "true", "null", "goto", "strictfp"} <= identity._KEYWORDS
    assert len(identity._KEYWORDS) == 53  # with true, false and null, which are literals
