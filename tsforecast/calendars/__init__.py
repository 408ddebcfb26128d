"""Calendars: dates to holidays (`korea`, `countries`) and to columns (`features`)."""
