"""Calendars: dates to holidays (`countries`, `korea`), days off (`days_off`, `days`) and columns (`features`)."""
