"""The one MQTT client of actions and reports."""
