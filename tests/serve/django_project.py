"""A Django project of a user who includes edgekit's URLs: `python django_project.py PORT MODEL`."""

from __future__ import annotations

import os
import sys

from django.conf import settings
from django.http import HttpResponse
from django.urls import include, path

import edgekit.serve.django

MODEL = os.environ["MODEL"]

settings.configure(
    SECRET_KEY="for a test",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "photos.example"],
    MIDDLEWARE=[  # as `django-admin startproject` has them, but those that need a database
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)

urlpatterns = [
    path("", lambda request: HttpResponse("mine")),
    path("vision/", include(edgekit.serve.django.urls(MODEL))),
    path("private/", include(edgekit.serve.django.urls(MODEL, token="a-token-of-some-length"))),
]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", "runserver", "--noreload", "--nothreading", *sys.argv[1:]])
