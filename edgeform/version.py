"""The version of this distribution, in one place that costs no import; hatchling reads it here."""

VERSION = "0.1.0"
