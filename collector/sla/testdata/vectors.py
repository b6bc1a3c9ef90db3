#!/usr/bin/env python3
"""Due instants computed apart from the Go code, by another method.

Nothing here adds up spans: it walks minute by minute in UTC, asks zoneinfo what the clock on the wall
shows, and asks whether that minute is open. Holidays are those of holidays.txt, typed from the published
lists.

    python3 vectors.py > vectors.json
    python3 vectors.py zones > zones.txt    the zones whose offset changes from 2024 to 2028
"""
import json
import os
import random
import sys
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def published():
    """The holidays of each region, from the lists as they were published."""
    out = {"none": set()}
    for line in open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "holidays.txt")):
        if not line.startswith("#"):
            key, rest = line.split(":")
            region, year = key.split()
            out.setdefault(region, set()).update(date.fromisoformat(year + "-" + d.rstrip("*")) for d in rest.split())
    for region in out.keys() - {"none"}:
        out[region].add(date(2029, 1, 1))  # what the last starts of 2028 run into
    out["GB-SCT"].add(date(2029, 1, 2))
    return out


REGIONS = published()

WORK = ["mon", "tue", "wed", "thu", "fri"]
ALL = WORK + ["sat", "sun"]


def week(names, *spans):
    return {n: list(spans) for n in names}


CALENDARS = [
    {"name": "erp", "zone": "Europe/London", "region": "GB-ENG", "hours": week(WORK, "08:00-18:00")},
    {"name": "software", "zone": "Europe/London", "region": "GB-ENG", "hours": week(WORK, "09:00-17:30")},
    {"name": "scotland", "zone": "Europe/London", "region": "GB-SCT", "hours": week(WORK, "08:30-12:30", "13:30-17:00")},
    {"name": "ulster", "zone": "Europe/London", "region": "GB-NIR",
     "hours": {**week(WORK, "09:00-17:00"), "sat": ["09:00-12:00"]}},
    {"name": "web", "zone": "America/New_York", "region": "none", "hours": week(WORK, "08:00-20:00")},
    {"name": "federal", "zone": "America/New_York", "region": "US", "hours": week(WORK, "09:00-17:00")},
    {"name": "night", "zone": "America/New_York", "region": "US", "hours": week(ALL, "00:00-06:00", "22:00-24:00")},
    {"name": "island", "zone": "Australia/Lord_Howe", "region": "none",
     "hours": {**week(WORK + ["sat"], "07:00-19:00"), "sun": ["00:00-05:00"]}},
    {"name": "south", "zone": "Pacific/Auckland", "region": "none", "hours": week(WORK, "08:00-17:00"),
     "add": [{"date": "2025-02-06", "name": "Waitangi Day"}, {"date": "2026-02-06", "name": "Waitangi Day"},
             {"date": "2027-04-26", "name": "Anzac Day"}]},
    {"name": "midnight", "zone": "Africa/Cairo", "region": "none",
     "hours": week(["sun", "mon", "tue", "wed", "thu", "fri"], "00:00-24:00")},
    {"name": "mountain", "zone": "Asia/Kathmandu", "region": "none",
     "hours": week(["sun", "mon", "tue", "wed", "thu", "fri"], "10:00-17:00")},
    {"name": "fixed", "zone": "UTC-05:00", "region": "US", "hours": week(WORK, "08:00-20:00"),
     "remove": [{"date": "2026-10-12", "name": "worked"}, {"date": "2025-10-13", "name": "worked"}]},
    {"name": "covered", "zone": "Europe/London", "region": "GB-ENG", "hours": week(WORK, "08:00-18:00"),
     "overlays": [
         {"name": "saturdays", "hours": {"sat": ["09:00-13:00"]}},
         {"name": "late spring", "from": "2027-03-15", "until": "2027-04-16", "hours": week(WORK, "17:00-21:00")},
         {"name": "year's end", "from": "2026-12-24", "until": "2027-01-03", "holidays": True,
          "hours": week(ALL, "10:00-14:00")}]},
    {"name": "always", "zone": "Europe/London", "always": True},
]


class Cal:
    def __init__(self, spec):
        self.spec = spec
        z = spec["zone"]
        if z.startswith("UTC") and len(z) > 3:
            h, m = z[4:].split(":")
            off = timedelta(hours=int(h), minutes=int(m))
            self.tz = timezone(-off if z[3] == "-" else off)
        else:
            self.tz = ZoneInfo(z)
        self.off = set(REGIONS[spec.get("region", "none")])
        self.off |= {date.fromisoformat(d["date"]) for d in spec.get("add", [])}
        self.off -= {date.fromisoformat(d["date"]) for d in spec.get("remove", [])}
        self.cache = {}

    def open_minutes(self, day):
        """The set of open minutes of the wall clock on a day."""
        if day in self.cache:
            return self.cache[day]
        name = ALL[day.weekday()]
        spans = []
        if self.spec.get("always"):
            spans = ["00:00-24:00"]
        else:
            if day not in self.off:
                spans += self.spec.get("hours", {}).get(name, [])
            for o in self.spec.get("overlays", []):
                if "from" in o and day.isoformat() < o["from"] or "until" in o and day.isoformat() > o["until"]:
                    continue
                if day not in self.off or o.get("holidays"):
                    spans += o["hours"].get(name, [])
        minutes = set()
        for s in spans:
            a, b = ((int(x[:2]) * 60 + int(x[3:])) for x in s.split("-"))
            minutes |= set(range(a, b))
        self.cache[day] = minutes
        return minutes

    def is_open(self, t):
        wall = t.astimezone(self.tz)
        return wall.hour * 60 + wall.minute in self.open_minutes(wall.date())

    def at(self, day, hour, minute, second=0):
        """The instant of a wall time: its first occurrence, or moved forward by the gap (PEP 495, fold 0)."""
        return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=self.tz).astimezone(UTC)


def next_minute(t):
    return t.replace(second=0, microsecond=0) + MINUTE


def walk(cal, start, seconds, pauses, every=False):
    """When so many open seconds outside the pauses have passed; every: all seconds are open."""
    t, left = start, seconds
    while left > 0:
        step = next_minute(t)
        for a, b in pauses:
            for edge in (a, b):
                if t < edge < step:
                    step = edge
        if (every or cal.is_open(t)) and not any(a <= t < b for a, b in pauses):
            have = int((step - t) / SECOND)
            if have >= left:
                return t + left * SECOND
            left -= have
        t = step
    return t


def count(cal, a, b):
    t, sum_ = a, 0
    while t < b:
        step = min(next_minute(t), b)
        if cal.is_open(t):
            sum_ += int((step - t) / SECOND)
        t = step
    return sum_


def first_open(cal, t):
    while not cal.is_open(t):
        t = next_minute(t)
    return t


def working_day(cal, day, n):
    while n > 0:
        day += timedelta(days=1)
        if cal.open_minutes(day):
            n -= 1
    return day


def business_days(cal, start, n):
    t = first_open(cal, start)
    wall = t.astimezone(cal.tz)
    day = working_day(cal, wall.date(), n)
    goal = cal.at(day, wall.hour, wall.minute, wall.second)

    def inside(c):
        return cal.is_open(c) and c.astimezone(cal.tz).date() == day

    k = 0
    while True:  # the nearest instant inside that day's hours, a close included, the earlier first
        for c in (goal - k * SECOND, goal + k * SECOND):
            if inside(c) or inside(c - SECOND):
                return c
        k += 1


def next_business_day(cal, start):
    day = working_day(cal, start.astimezone(cal.tz).date(), 1)
    t = cal.at(day + timedelta(days=1), 0, 0)
    while not cal.is_open(t - MINUTE):
        t -= MINUTE
    return t


def due(cal, start, target, pauses):
    amount, _, mode = target.rpartition(",")
    if mode == "elapsed":
        return walk(cal, start, seconds_of(amount), pauses, every=True)
    if mode == "business":
        return walk(cal, start, seconds_of(amount), pauses)
    goal = business_days(cal, start, int(amount)) if mode == "business-days" else next_business_day(cal, start)
    for a, b in pauses:
        if a >= goal:
            break
        opening = cal.is_open(goal) and not cal.is_open(goal - SECOND)
        goal = walk(cal, b, count(cal, a, goal), [])
        if opening:
            goal = first_open(cal, goal)
    return goal


def seconds_of(text):
    total = 0
    number = ""
    for ch in text:
        if ch.isdigit():
            number += ch
        else:
            total += int(number) * {"h": 3600, "m": 60, "s": 1}[ch]
            number = ""
    return total


def z(t):
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


# Starts worth looking at, by the wall clock: before long weekends, in the nights of the clocks, at closes.
WALLS = [
    "2024-03-28 17:59:30", "2024-03-30 23:30:00", "2024-03-31 00:30:00", "2024-04-07 01:10:00",
    "2024-04-25 23:40:00", "2024-10-05 23:50:00", "2024-10-31 22:30:00", "2024-11-02 23:10:00",
    "2024-11-29 16:59:59", "2024-12-24 17:50:00", "2025-03-08 22:15:00", "2025-07-11 16:00:00",
    "2025-10-25 22:45:00", "2026-03-27 17:30:00", "2026-04-02 18:00:00", "2026-06-12 16:45:00",
    "2026-07-02 16:30:00", "2026-10-31 22:50:00", "2026-11-20 16:00:00", "2026-12-24 17:50:00",
    "2026-12-31 09:00:00", "2027-03-13 23:59:59", "2027-06-17 15:00:00", "2027-12-24 08:00:00",
    "2027-12-30 19:30:00", "2028-01-02 12:00:00", "2028-04-13 17:45:00", "2028-11-09 19:00:00",
    "2028-12-22 17:00:00",
]
TARGETS = {
    "business": ["15m", "20m", "1h", "4h", "8h", "12h30m", "40h", "80h"],
    "elapsed": ["20m", "1h", "4h", "24h", "48h", "1h0m1s"],
    "business-days": ["1", "2", "5", "10"],
}


def zones():
    """The names of the zones whose offset changes within 2024 to 2028."""
    hours = [datetime(2024, 1, 1, tzinfo=UTC) + 12 * timedelta(hours=1) * i for i in range(2 * 366 * 5)]
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        tz = ZoneInfo(name)
        if "/" in name and len({t.astimezone(tz).utcoffset() for t in hours}) > 1:
            print(name)


def main():
    if sys.argv[1:] == ["zones"]:
        return zones()
    rnd = random.Random(20260615)
    vectors = []
    for spec in CALENDARS:
        cal = Cal(spec)
        for mode in ("business", "elapsed", "business-days", "next-business-day"):
            for i in range(7):
                if i < 4:
                    d, hms = rnd.choice(WALLS).split()
                    h, m, s = map(int, hms.split(":"))
                    start = cal.at(date.fromisoformat(d), h, m, s)
                else:
                    start = datetime(2024, 1, 1, tzinfo=UTC) + rnd.randrange(5 * 365 * 86400 - 60 * 86400) * SECOND
                target = mode if mode == "next-business-day" else rnd.choice(TARGETS[mode]) + "," + mode
                pauses = []
                if i % 2:
                    goal = due(cal, start, target, [])
                    at = start
                    for _ in range(rnd.randint(1, 3)):
                        room = max(int((goal - at) / SECOND), 2)
                        a = at + rnd.randrange(1, room) * SECOND
                        at = a + rnd.choice([1, 59, 3600, 40000, 90000, 300000]) * SECOND
                        pauses.append((a, at))
                goal = due(cal, start, target, pauses)
                to = start + rnd.randrange(1, 12 * 86400) * SECOND
                vectors.append({
                    "calendar": spec["name"], "target": target, "start": z(start),
                    "pauses": [{"from": z(a), "to": z(b)} for a, b in pauses],
                    "due": z(goal), "count_to": z(to), "count": count(cal, start, to),
                })
    json.dump({"calendars": CALENDARS, "vectors": vectors}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
