from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"

    def ready(self) -> None:
        from inference import (
            checks,  # noqa: F401 - registers them
            worker,  # noqa: F401 - connects the signals of a worker's life
        )
