"""All settings, typed, in one file. `docs/settings.md` lists the variables that a deployment may set."""

from pathlib import Path
from typing import Any

import dj_database_url
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured

from config.environment import (
    read_data_dir,
    read_environment,
    read_flag,
    read_list,
    read_secret_key,
    read_share,
    read_text,
    read_whole,
)

BASE_DIR = Path(__file__).resolve().parent.parent
ENVIRONMENT = read_environment()
IS_PRODUCTION = ENVIRONMENT == "production"
DATA_DIR = read_data_dir(BASE_DIR)
PUBLIC_URL = read_text("LPU_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")

# --- Security ---------------------------------------------------------------------------------------------------------
SECRET_KEY = read_secret_key(ENVIRONMENT, DATA_DIR)
# API keys are stored as HMACs under this secret, apart from SECRET_KEY: rotating sessions must not end keys.
API_KEY_DIGEST_SECRET = read_text("LPU_KEY_DIGEST_SECRET", SECRET_KEY)
DEBUG = read_flag("LPU_DEBUG") and not IS_PRODUCTION
ALLOWED_HOSTS = read_list("LPU_ALLOWED_HOSTS") or (
    [] if IS_PRODUCTION else ["127.0.0.1", "localhost", "[::1]", "testserver"]
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL.startswith("https://") else []
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if read_flag("LPU_BEHIND_PROXY") else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
SECURE_HSTS_SECONDS = 31_536_000 if IS_PRODUCTION else 0
SECURE_SSL_REDIRECT = IS_PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

# --- Applications -----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "accounts",
    "billing",
    "inference",
    "console",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "console.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "console.content_security.content_security_policy",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.context.console",
            ],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# --- Database ---------------------------------------------------------------------------------------------------------
DATABASE_URL = read_text("DATABASE_URL")
DATABASES: dict[str, Any]
if DATABASE_URL:
    DATABASES = {"default": dict(dj_database_url.parse(DATABASE_URL))}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "console.sqlite3",
            "OPTIONS": {
                # Writers queue for up to 20 s instead of failing; IMMEDIATE takes the lock before the first read.
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                # secure_delete: a job's payload key is overwritten on disk when it is cleared, not merely unlinked.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;",
            },
            # A file, because an in-memory database cannot be shared by the threads of the server under test.
            "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
        }
    }

# --- Redis and Celery -------------------------------------------------------------------------------------------------
REDIS_URL = read_text("REDIS_URL", "redis://127.0.0.1:6379/0")
REDIS_KEY_PREFIX = "lpu:"
# The models that this machine's workers serve, each from a queue of its own; all active ones when nothing is said.
SERVED_MODELS = read_list("LPU_SERVED_MODELS")
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "periodic"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    # Expiring, so that a worker that was down for long does not find a day of them.
    "reconcile-top-ups": {"task": "billing.reconcile_top_ups", "schedule": 300.0, "options": {"expires": 300}},
    "delete-old-content": {"task": "inference.delete_old_content", "schedule": crontab("30", "3")},
    "store-weekly-report": {"task": "console.store_weekly_report", "schedule": crontab("0", "6", "1")},
}

# --- Accounts ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNT_ADAPTER = "console.sign_up.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
# A developer starts at once; the console asks for the confirmation until it is given.
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_CONFIRM_EMAIL_ON_GET = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "console:home"
ACCOUNT_LOGOUT_REDIRECT_URL = "console:landing"
DEFAULT_FROM_EMAIL = read_text("LPU_MAIL_FROM", "LPU Console <console@localhost>")
# Development and tests keep mail in the data folder, where the console shows it; nothing leaves the machine.
MAIL_DIR = DATA_DIR / "mail"
EMAIL_HOST = read_text("LPU_SMTP_HOST", "localhost")
EMAIL_PORT = read_whole("LPU_SMTP_PORT", 25)
EMAIL_HOST_USER = read_text("LPU_SMTP_USER")
EMAIL_HOST_PASSWORD = read_text("LPU_SMTP_PASSWORD")
EMAIL_USE_TLS = read_flag("LPU_SMTP_TLS")
EMAIL_FILE_PATH = MAIL_DIR
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if IS_PRODUCTION else 'filebased'}.EmailBackend"

# --- Sessions and caches: no extra service, shared by every process ---------------------------------------------------
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "lpu-cache",
    }
}

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static" if IS_PRODUCTION else None  # elsewhere files are served from where they lie
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not IS_PRODUCTION
WHITENOISE_AUTOREFRESH = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if IS_PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- The admin site ---------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "LPU Console",
    "SITE_HEADER": "LPU Console",
    "SITE_URL": "/",
    "SITE_SYMBOL": "memory",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/favicon.svg"}],
    # The console's accent, as the scale that Unfold's own styles expect.
    "COLORS": {
        "primary": {
            "50": "oklch(97% .02 168)",
            "100": "oklch(93% .05 168)",
            "200": "oklch(88% .08 168)",
            "300": "oklch(81% .11 168)",
            "400": "oklch(72% .12 168)",
            "500": "oklch(60% .11 168)",
            "600": "oklch(47% .09 168)",
            "700": "oklch(41% .08 168)",
            "800": "oklch(35% .06 168)",
            "900": "oklch(30% .05 168)",
            "950": "oklch(22% .04 168)",
        }
    },
    "SIDEBAR": {"show_search": True, "navigation": "console.admin_navigation.list_groups"},
}

# --- The API ----------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["inference.views.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "inference.views.envelope.answer_exception",
    "UNAUTHENTICATED_USER": None,
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

# --- Models and plans -------------------------------------------------------------------------------------------------
MODELS_DIR = Path(read_text("LPU_MODELS_DIR", str(BASE_DIR / "models")))
PROGRAMS_DIR = DATA_DIR / "programs"  # schedules that were compiled here
DEFAULT_MODEL = "lpu-demo"
SERVES_NULL_MODEL = read_flag("LPU_NULL_MODEL")
if SERVES_NULL_MODEL and IS_PRODUCTION:
    raise ImproperlyConfigured("LPU_NULL_MODEL=1 serves a model that only measures the path; production refuses it.")
# Chips of the emulated cluster: 1 to 8, whole nodes of 8 up to 264, or whole racks of 72 up to 10,440.
CLUSTER_CHIPS = read_whole("LPU_CLUSTER_CHIPS", 72)
# GroqCloud's typical figures for an 8B model; staff and `set_limits` change them per organization.
PLAN_LIMITS = {
    "free": {"rpm": 30, "rpd": 14_400, "tpm": 6_000, "tpd": 500_000},
    "developer": {"rpm": 1_000, "rpd": 500_000, "tpm": 250_000, "tpd": 100_000_000},
    "enterprise": {"rpm": 10_000, "rpd": 5_000_000, "tpm": 2_500_000, "tpd": 1_000_000_000},
}
PROMOTIONAL_CREDIT_PUSD = 1_000_000_000_000  # 1 USD
JOB_LEASE_MS = 3_000  # renewed every second; a worker that misses three is taken for dead
JOB_DEADLINE_S = 600
QUEUE_LIMIT = read_whole("LPU_QUEUE_LIMIT", 1_000)  # jobs that wait for one model; more are refused with a 503

# --- Kept content and checks ------------------------------------------------------------------------------------------
KEPT_CONTENT_DAYS = read_whole("LPU_KEPT_CONTENT_DAYS", 30)
LIVE_CHECK_SHARE = read_share("LPU_LIVE_CHECK_SHARE", 0.01)  # of the jobs, computed a second time elsewhere
LIVE_CHECK_START_S = 5  # a check that could not begin by then is dropped
LIVE_CHECK_WAIT_S = 60  # a check that has ended waits so long for the job itself

# --- Stripe: without a key, payments are not configured and the pages say so ------------------------------------------
STRIPE_SECRET_KEY = read_text("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRET = read_text("STRIPE_WEBHOOK_SECRET")
STRIPE_API_BASE = read_text("STRIPE_API_BASE")

# --- Logs: to standard error, with API keys and bearer tokens struck out ----------------------------------------------
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "config.redaction.RedactingFilter"}},
    "formatters": {
        "line": {
            "()": "config.redaction.RedactingFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "filters": ["redact"], "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": read_text("LPU_LOG_LEVEL", "WARNING")},
    # Django's own handlers would print in DEBUG what the filter never saw.
    "loggers": {
        "django": {"handlers": [], "propagate": True, "level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
