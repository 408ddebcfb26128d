"""Calendars: dates to holidays (`countries`, `korea`), to days around them (`days_off`, `days`), to columns (`features`)."""
