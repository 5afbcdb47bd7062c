"""The application of test/support/web-app.ts with Django: one file, with CSRF checks."""

import hashlib
import json
import os
import time

import django
from django import http
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.static import serve

settings.configure(
    ALLOWED_HOSTS=json.loads(os.environ.get("HOSTS", '["127.0.0.1", "localhost"]')),
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    STATIC_URL="static/",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
)
django.setup()
TEXT = "text/plain"


def text(body):
    return http.HttpResponse(body, content_type=TEXT)


@csrf_exempt
def index(request):
    if request.method == "OPTIONS":
        return http.HttpResponse(headers={"Allow": "GET, HEAD, OPTIONS, POST"})
    return text("index")


def about(request):
    return text("about")


def deep(request, rest):
    told = {"path": f"/deep/{rest}", "script": request.META["SCRIPT_NAME"]}
    return http.JsonResponse({**told, "x": request.GET.get("x", "")})


@csrf_exempt
def listing(request):
    return text(f"list {request.method} {request.body.decode()}")


def go(request):
    return redirect("about")


def go_absolute(request):
    return redirect(request.build_absolute_uri(reverse("about")))


@csrf_exempt
def done(request):
    response = redirect("about")
    response.status_code = 303
    return response


def away(request):
    return redirect("http://example.com/")


@csrf_exempt
def login(request):
    response = redirect("me")
    response.set_cookie("user", request.POST["user"], path=request.META["SCRIPT_NAME"])
    return response


def me(request):
    return text(f"hello {request.COOKIES.get('user', 'nobody')}")


def url(request):
    where = reverse("about")
    return http.JsonResponse({"relative": where, "absolute": request.build_absolute_uri(where)})


@csrf_exempt
def form(request):
    return http.JsonResponse(request.POST.dict())


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    data = file.read()
    return http.JsonResponse([file.name, len(data), hashlib.sha256(data).hexdigest()], safe=False)


def stream(request):
    def lines():
        for number in range(3):
            yield f"{number}\n"
            time.sleep(0.15)

    return http.StreamingHttpResponse(lines(), content_type=TEXT)


def guarded(request):
    """A form with Django's CSRF protection: GET returns the token, POST needs it."""
    return text(get_token(request) if request.method == "GET" else "accepted")


urlpatterns = [
    path("", index),
    path("about", about, name="about"),
    path("deep/<path:rest>", deep),
    path("list/", listing),
    path("go", go),
    path("go-absolute", go_absolute),
    path("done", done),
    path("away", away),
    path("login", login),
    path("me", me, name="me"),
    path("url", url),
    path("form", form),
    path("upload", upload),
    path("stream", stream),
    path("guarded", guarded),
    path("static/<path:path>", serve, {"document_root": "static"}),
]
app = get_wsgi_application()
