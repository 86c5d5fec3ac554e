"""The console's addresses. Those of signing in are in `account_urls`, under allauth's own names."""

from django.urls import path

from console.views.answers import create_answer, stop_answer, stream_answer
from console.views.api_keys import api_keys, revoke
from console.views.billing import billing, top_up_done
from console.views.dev_mail import dev_mail
from console.views.home import home
from console.views.kept_content import keep_content
from console.views.landing import landing
from console.views.playground import playground
from console.views.quickstart import quickstart
from console.views.set_up import set_up
from console.views.usage import usage

app_name = "console"
urlpatterns = [
    path("", landing, name="landing"),
    path("home", home, name="home"),
    path("set-up", set_up, name="set-up"),
    path("keys", api_keys, name="api-keys"),
    path("keys/<str:api_key_id>/revoke", revoke, name="revoke-api-key"),
    path("kept-content", keep_content, name="keep-content"),
    path("quickstart", quickstart, name="quickstart"),
    path("playground", playground, name="playground"),
    path("playground/answers", create_answer, name="create-answer"),
    path("playground/answers/<str:sealed_handle>/stream", stream_answer, name="stream-answer"),
    path("playground/answers/<str:sealed_handle>/stop", stop_answer, name="stop-answer"),
    path("usage", usage, name="usage"),
    path("billing", billing, name="billing"),
    path("billing/top-up-done", top_up_done, name="top-up-done"),
    path("dev/mail", dev_mail, name="dev-mail"),
]
