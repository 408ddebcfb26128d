"""Calendars: dates to holidays (`countries`, `korea`), to the days around them (`days_off`, `days`) and to columns
(`features`, `day_columns`, `pooled`); `almanac` is what a fitted model keeps of them."""
