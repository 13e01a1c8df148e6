# SPDX-License-Identifier: Apache-2.0
"""The module image_digest as Ansible runs it, with an Engine and a registry made up."""

from __future__ import annotations

import json
from typing import Any

import image_digest
import pytest
from ansible.module_utils.livekit_deploy.machine import command
from ansible.module_utils.testing import patch_module_args

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
TAG = "registry.corp.test:5000/worker:1.4"
NAME = "registry.corp.test:5000/worker"


class Engine:
    """``has`` maps the images of the host to their digests, ``registry`` those that can be pulled."""

    def __init__(self, has: dict[str, list[str]], registry: dict[str, list[str]]) -> None:
        self.has, self.registry, self.calls = has, registry, list[str]()

    def __call__(self, argv: list[str]) -> tuple[int, str, str]:
        self.calls.append(" ".join(argv[1:3]))
        image = argv[-1]
        if argv[1:3] == ["image", "inspect"]:
            known = {"Id": str(self.has.get(image)), "RepoDigests": self.has.get(image)}
            return (0, json.dumps(known), "") if image in self.has else (1, "", "No such image")
        if argv[1] != "pull":
            return 0, "", ""
        if image not in self.registry:
            return 1, "", "manifest unknown"
        self.has[image] = self.registry[image]
        return 0, image, ""


def resolve(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    images: list[str],
    **params: Any,
) -> dict[str, Any]:
    monkeypatch.setattr(command.Runner, "__call__", lambda _runner, argv: engine(argv))
    with (
        patch_module_args({"app": "sidekick", "root": "/nonexistent", "images": images, **params}),
        pytest.raises(SystemExit),
    ):
        image_digest.main()
    return dict(json.loads(capsys.readouterr().out))


Fixtures = tuple[pytest.CaptureFixture[str], pytest.MonkeyPatch]


@pytest.fixture
def fixtures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fixtures:
    return capsys, monkeypatch


def test_a_tag_becomes_the_digest_that_the_registry_has_now(fixtures: Fixtures) -> None:
    engine = Engine({TAG: [f"{NAME}@{ONE}"]}, {TAG: [f"{NAME}@{TWO}"]})
    found = resolve(*fixtures, engine, [TAG])
    assert found["digests"] == {TAG: f"{NAME}@{TWO}"}
    assert found["changed"]


def test_a_tag_that_still_means_the_same_changes_nothing(fixtures: Fixtures) -> None:
    digests = {TAG: [f"{NAME}@{ONE}"]}
    found = resolve(*fixtures, Engine(dict(digests), digests), [TAG])
    assert found["digests"] == {TAG: f"{NAME}@{ONE}"}
    assert not found["changed"]


def test_a_digest_is_answered_without_asking_anybody(fixtures: Fixtures) -> None:
    engine = Engine({}, {})
    assert resolve(*fixtures, engine, [f"{NAME}@{ONE}"])["digests"] == {f"{NAME}@{ONE}": f"{NAME}@{ONE}"}
    assert engine.calls == []


def test_the_digest_of_its_own_repository_is_taken(fixtures: Fixtures) -> None:
    engine = Engine({}, {TAG: [f"mirror.corp.test/worker@{ONE}", f"{NAME}@{TWO}"]})
    assert resolve(*fixtures, engine, [TAG])["digests"] == {TAG: f"{NAME}@{TWO}"}


def test_each_image_is_resolved(fixtures: Fixtures) -> None:
    other = "registry.corp.test:5000/api:2"
    engine = Engine({}, {TAG: [f"{NAME}@{ONE}"], other: [f"registry.corp.test:5000/api@{TWO}"]})
    assert set(resolve(*fixtures, engine, [TAG, other])["digests"]) == {TAG, other}


def test_an_image_that_the_registry_does_not_have_is_a_sentence(fixtures: Fixtures) -> None:
    found = resolve(*fixtures, Engine({}, {}), [TAG])
    assert found["failed"]
    assert found["msg"].startswith(
        f"found: no image {TAG} in the registry registry.corp.test:5000 (manifest unknown), expected:"
    )


def test_check_mode_pulls_nothing(fixtures: Fixtures) -> None:
    engine = Engine({}, {TAG: [f"{NAME}@{ONE}"]})
    found = resolve(*fixtures, engine, [TAG], _ansible_check_mode=True)
    assert found["digests"] == {TAG: TAG}
    assert not found["changed"]
    assert not any(call.startswith("pull") for call in engine.calls)
