"""Signing up, in and out: django-allauth's views and names at the product's addresses."""

from allauth.account import views
from django.urls import path, re_path

urlpatterns = [
    path("signup", views.signup, name="account_signup"),
    path("login", views.login, name="account_login"),
    path("logout", views.logout, name="account_logout"),
    path("account/inactive", views.account_inactive, name="account_inactive"),
    path("account/reauthenticate", views.reauthenticate, name="account_reauthenticate"),
    path("account/email", views.email, name="account_email"),
    path("account/confirm-email", views.email_verification_sent, name="account_email_verification_sent"),
    path("account/confirm-email/<str:key>", views.confirm_email, name="account_confirm_email"),
    path("account/password", views.password_change, name="account_change_password"),
    path("account/password/set", views.password_set, name="account_set_password"),
    path("account/password/reset", views.password_reset, name="account_reset_password"),
    path("account/password/reset/sent", views.password_reset_done, name="account_reset_password_done"),
    # allauth fills in user and key by replacing the text "UID-KEY" of this address.
    re_path(
        r"^account/password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)$",
        views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "account/password/reset/done",
        views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
]
