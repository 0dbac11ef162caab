from __future__ import annotations

import hashlib
import json
import zipfile

import pytest

from android_demo.tools import template
from tests.android.tools.conftest import Checkout

JAVA = "android_demo/app/src/main/java/ai/edgekit/demo/runtime/TopK.java"


@pytest.mark.slow
def test_the_same_sources_give_the_same_bytes(ready: Checkout) -> None:
    digests = []
    for _ in range(2):
        done = ready.run("template")
        assert done.returncode == 0, done.stderr
        digests.append(hashlib.sha256(ready.template.read_bytes()).hexdigest())
        assert ready.run("template", "--check").returncode == 0
        ready.template.unlink()
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_what_is_in_it(ready: Checkout) -> None:
    assert ready.run("template").returncode == 0
    with zipfile.ZipFile(ready.template) as archive:
        names = archive.namelist()
        said = json.loads(archive.read("template.json"))
        licences = "".join(archive.read(n).decode() for n in names if n.startswith("apk/assets/licenses/"))
        assert archive.read(f"apk/{said['icon']}").startswith(b"\x89PNG")
        assert archive.read("apk/classes.dex").startswith(b"dex\n")
        assert {entry.date_time for entry in archive.infolist()} == {template.FIXED_TIME}
    assert names == sorted(names)
    assert said | {"icon": "", "sources_sha256": ""} == {
        "format": 1,
        "runtime": "2.16.1",
        "min_sdk": 26,
        "target_sdk": 35,
        "app_id": "ai.edgekit.demo",
        "abis": list(template.ABIS),
        "page_size": dict.fromkeys(template.ABIS, 4096),
        "icon": "",
        "sources_sha256": "",
    }
    assert "Apache License" in licences
    assert "Caffe" in licences  # TensorFlow's own notice of a third party
    assert all(name in licences for name in ("XNNPACK", "cpuinfo", "Mozilla Public License Version 2.0"))
    for abi in template.ABIS:
        assert {f"lib/{abi}/libtensorflowlite_jni.so", f"lib/{abi}/libtensorflowlite_gpu_jni.so"} <= set(names)
    assert {"project/settings.gradle", "project/app/build.gradle", f"project/{JAVA.partition('/')[2]}"} <= set(names)
    assert not [name for name in names if "/tools/" in name or "/src/test/" in name]


def test_it_is_out_of_date_when_a_source_changes(checkout: Checkout) -> None:
    said = json.dumps({"sources_sha256": template.sources_sha256()})
    checkout.template.parent.mkdir(parents=True)
    with zipfile.ZipFile(checkout.template, "w") as archive:
        archive.writestr("template.json", said)
    assert checkout.run("template", "--check").returncode == 0
    source = checkout.root / JAVA
    source.write_text(source.read_text() + "\n")
    done = checkout.run("template", "--check")
    assert done.returncode == 1
    assert "out of date: make android" in done.stderr


@pytest.mark.slow
def test_a_lambda_is_refused(ready: Checkout) -> None:
    source = ready.root / JAVA
    source.write_text(source.read_text().rstrip().removesuffix("}") + "static Runnable late = () -> { };\n}\n")
    done = ready.run("template")
    assert done.returncode == 2
    assert "ai/edgekit/demo/runtime/TopK.class: a lambda or method reference" in done.stderr
    assert not ready.template.exists()


def test_sources_that_do_not_compile_are_shown(ready: Checkout) -> None:
    source = ready.root / JAVA
    source.write_text(source.read_text() + "}")
    done = ready.run("template")
    assert done.returncode == 2
    assert "TopK.java" in done.stderr
    assert not list((ready.root / "android_demo/build").glob("template-*"))
