"""Staff deploy, retire, fail and repair in admin; workers do the rest."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from billing.selectors import get_price
from inference.chips import list_placement, read_inventory
from inference.deployments import activate_deployment
from inference.models import ClusterChip, Deployment, LanguageModel
from tests.console.test_admin import PASSWORD, address, admin_pages, staff

__all__ = ["admin_pages", "staff"]

pytestmark = pytest.mark.django_db

LPU_DEMO = Path("models/lpu-demo").resolve()
CHIPS, DEPLOYMENTS = address(ClusterChip, "changelist"), address(Deployment, "changelist")
FORM = {"path": str(LPU_DEMO), "name": "second", "pacing": "host"}


def deploy(admin_pages: Client, **fields: str) -> Any:
    return admin_pages.post(address(Deployment, "add"), {**FORM, **fields})


def deployed(admin_pages: Client, **fields: str) -> Deployment:
    assert deploy(admin_pages, **fields).headers["location"] == DEPLOYMENTS
    deployment = Deployment.objects.get()
    activate_deployment(deployment_id=deployment.pk, program_hash="abc")
    deployment.refresh_from_db()
    return deployment


def act(admin_pages: Client, page: str, action: str, *rows: object) -> str:
    selected = {"action": action, "_selected_action": [str(row) for row in rows]}
    return str(admin_pages.post(page, selected, follow=True).content.decode())


def test_the_form_places_a_model_with_its_price_and_pacing(admin_pages: Client) -> None:
    fields = {"chips": "8", "price_input": "0.59", "price_output": "0.79", "pacing": "hardware"}
    deployment = deployed(admin_pages, **fields)
    assert list_placement(deployment) == tuple(range(8))
    assert (deployment.state, deployment.pacing, deployment.path) == ("serving", "hardware", str(LPU_DEMO))
    assert (get_price("second").input_pusd, get_price("second").output_pusd) == (590_000, 790_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "/nothing"}, "config.json: cannot be read"),
        ({"name": "a b"}, "no model id"),
        ({"chips": "12"}, "12 chips are no whole nodes of 8; 16 are"),
        ({"chips": "72"}, "72 chips are needed as 9 whole nodes; 64 are free"),
        ({"price_input": "1"}, "A price has two parts"),
        ({"price_input": "0.0000001", "price_output": "1"}, "not a whole number of picodollars"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_a_form_that_cannot_be_deployed_says_why(admin_pages: Client, fields: dict[str, str], message: str) -> None:
    answer = deploy(admin_pages, **fields)
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert not Deployment.objects.exists()


def test_a_deployment_shows_its_chips_and_only_its_pacing_changes(admin_pages: Client) -> None:
    deployment = deployed(admin_pages)
    page = address(Deployment, "change", deployment.pk)
    assert str(LPU_DEMO) in admin_pages.get(page).content.decode()
    admin_pages.post(page, {"pacing": "hardware", "state": "failed", "path": "/elsewhere"})
    deployment.refresh_from_db()
    assert (deployment.pacing, deployment.state, deployment.path) == ("hardware", "serving", str(LPU_DEMO))


def test_a_model_is_retired(admin_pages: Client) -> None:
    deployment = deployed(admin_pages)
    assert "second takes no new calls" in act(admin_pages, DEPLOYMENTS, "retire_models", deployment.pk)
    deployment.refresh_from_db()
    assert (deployment.state, LanguageModel.objects.get(pk="second").is_active) == ("draining", False)
    assert "second is not in service" in act(admin_pages, DEPLOYMENTS, "retire_models", deployment.pk)


def test_a_chip_is_marked_as_failed_and_repaired(admin_pages: Client) -> None:
    deployment = deployed(admin_pages)
    assert "Chips failed: 1." in act(admin_pages, CHIPS, "fail_chips", 0)
    assert (set(read_inventory().failed), list_placement(deployment)) == ({0}, (64,))
    assert "Chip 0 has failed already." in act(admin_pages, CHIPS, "fail_chips", 0)
    assert "Chips repaired: 1." in act(admin_pages, CHIPS, "repair_chips", 0)
    assert read_inventory().failed == frozenset()


def test_staff_who_may_only_look_change_nothing(client: Client, admin_pages: Client) -> None:
    deployment = deployed(admin_pages)
    viewer = User.objects.create_user("viewer@example.com", PASSWORD, is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(codename__in=["view_deployment", "view_clusterchip"]))
    client.force_login(viewer)
    assert client.get(CHIPS).status_code == client.get(DEPLOYMENTS).status_code == 200
    assert client.post(address(Deployment, "add"), FORM | {"name": "third"}).status_code == 403
    act(client, CHIPS, "fail_chips", 0)
    act(client, DEPLOYMENTS, "retire_models", deployment.pk)
    deployment.refresh_from_db()
    assert (deployment.state, read_inventory().failed) == ("serving", frozenset())
