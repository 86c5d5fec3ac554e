"""Static files under ASGI. WhiteNoise streams from a synchronous iterator, which ASGI has to collect first."""

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise, sending each file whole: the console's largest is 52 KB."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        response = static_file.get_response(request.method, request.META)
        body = b""
        if response.file is not None:
            with response.file:
                body = response.file.read()
        return HttpResponse(body, status=int(response.status), headers=dict(response.headers))
