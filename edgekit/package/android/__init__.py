"""Android packages in pure Python: manifest, ZIP archive, signature; no SDK, no JDK."""
