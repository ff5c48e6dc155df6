#!/usr/bin/env bash
# Makes heif/exact.heic and heif/exact.avif of images/exact.png, with heif-enc (Debian: libheif-examples).
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p heif
heif-enc --quality 90 images/exact.png --output heif/exact.heic
heif-enc --avif --quality 90 images/exact.png --output heif/exact.avif
