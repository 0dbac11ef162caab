"""Builds the Android app from pinned Maven artifacts with a JDK alone: no Android SDK, no Gradle."""
