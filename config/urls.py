"""Every address of the product."""

from django.contrib import admin
from django.urls import include, path

from inference.urls import api_patterns
from inference.views.health import healthz, readyz

urlpatterns = [
    path("v1/", include((api_patterns, "v1"))),
    path("openai/v1/", include((api_patterns, "openai-v1"))),
    path("healthz", healthz),
    path("readyz", readyz),
    path("admin/", admin.site.urls),
    path("", include("billing.urls")),
    path("", include("console.account_urls")),
    path("", include("console.urls")),
]
handler404 = "console.views.errors.not_found"
handler500 = "console.views.errors.server_error"
