"""Ten queries of an analyst's day, over the views of gen.py and of the flights.

Everybody is asked the same. Where DuckDB has another word for it that is much faster, it is asked by that one: its date_trunc
of a time with a zone takes ten times as long as arithmetic on the microseconds.
"""
import dataclasses

DAY_US = 86_400_000_000


@dataclasses.dataclass
class Query:
    """A question, in the words of both."""

    what: str
    ours: str
    duckdb: str | None = None
    # whether the rows are asked for in an order; otherwise they are compared as a set
    ordered: bool = True

    @property
    def theirs(self):
        return self.duckdb or self.ours


def between(column, first, last):
    """Times from `first` on, before `last`."""
    return f"{column} >= '{first}T00:00:00Z' and {column} < '{last}T00:00:00Z'"


def txn_and_daily(day):
    return f"""
        select d.event_timestamp as day, count(*) as transactions, avg(t.t_f0 * d.d_f0) as both_mean, max(t.t_f1 - d.d_f1) as apart
        from user_txn t join user_daily d on d.user_id = t.user_id and d.event_timestamp = {day}
        where {between("t.event_timestamp", "2025-02-10", "2025-02-17")}
        group by d.event_timestamp order by day"""


QUERIES = {
    "by_day": Query(
        "a feature's count, mean, deviation and ends by day, 9.1 M rows",
        """
        select event_timestamp as day, count(*) as those, count(d_f0) as known, avg(d_f0) as mean, stddev(d_f0) as deviation,
            min(d_f0) as least, max(d_f0) as greatest
        from user_daily group by event_timestamp order by day""",
    ),
    "busiest_users": Query(
        "the ten users with the greatest sum in a week",
        f"""
        select user_id, count(*) as transactions, sum(t_f0) as total, max(t_f1) as greatest from user_txn
        where {between("event_timestamp", "2025-02-10", "2025-02-17")}
        group by user_id order by total desc nulls last, user_id limit 10""",
    ),
    "one_day": Query(
        "a range scan: each transaction of a day, 112,000 rows of 8 columns",
        f"""
        select user_id, event_timestamp, created_timestamp, t_f0, t_f1, t_f2, t_f3, t_f4 from user_txn
        where {between("event_timestamp", "2025-03-01", "2025-03-02")}""",
        ordered=False,
    ),
    "one_user": Query(
        "a user's transactions, in order",
        """
        select event_timestamp, created_timestamp, t_f0, t_f1, t_f2, t_f3, t_f4 from user_txn where user_id = 1000003
        order by event_timestamp, created_timestamp, t_f0""",
    ),
    "top_three": Query(
        "the three greatest hours of each merchant, 3.1 M rows",
        """
        select merchant_id, event_timestamp, m_f0, place from (
            select merchant_id, event_timestamp, m_f0, row_number() over (
                partition by merchant_id order by m_f0 desc nulls last, event_timestamp, created_timestamp) as place
            from merchant_hourly) as ranked
        where place <= 3 order by merchant_id, place""",
    ),
    "moving_average": Query(
        "the twenty days of a month that lie furthest from their user's last seven, 2.8 M rows",
        f"""
        select user_id, event_timestamp, d_f0, usual from (
            select user_id, event_timestamp, d_f0, avg(d_f0) over (
                partition by user_id order by event_timestamp, created_timestamp, d_f0
                rows between 6 preceding and current row) as usual
            from user_daily where {between("event_timestamp", "2025-02-01", "2025-03-01")}) as days
        order by abs(d_f0 - usual) desc nulls last, user_id, event_timestamp limit 20""",
    ),
    "legs": Query(
        "how late an aircraft leaves after it came late, by quarters of an hour, 327,346 rows",
        """
        select cast(floor(before / 15) as bigint) as quarters, count(*) as legs, avg(dep_delay) as late_mean from (
            select dep_delay, lag(arr_delay) over (
                partition by tailnum order by event_timestamp, created_timestamp, arr_delay, dep_delay) as before
            from aircraft_last_leg) as legs
        where before is not null group by 1 order by 1""",
    ),
    "winds": Query(
        "a join of two small views: departures of an hour, and how late they were, by the wind's speed",
        """
        select cast(floor(w.wind_speed / 5) as bigint) as speed, count(*) as hours, sum(o.departures) as departures,
            avg(o.mean_dep_delay) as late_mean
        from origin_hour o join weather w on w.origin = o.origin and w.event_timestamp = o.event_timestamp
        where w.wind_speed is not null group by 1 order by 1""",
    ),
    "txn_and_daily": Query(
        "a join of two large views: a week's transactions with what the user was like on that day",
        txn_and_daily("date_trunc('day', t.event_timestamp)"),
        txn_and_daily(f"make_timestamptz(epoch_us(t.event_timestamp) // {DAY_US} * {DAY_US})"),
    ),
    "percentiles": Query(
        "quartiles of each merchant, 3.1 M rows",
        # DataFusion's percentile_cont knows a place between two values to a millionth; quarters and halves it knows exactly
        """
        select merchant_id, percentile_cont(0.25) within group (order by cast(m_f0 as double)) as p25,
            percentile_cont(0.5) within group (order by cast(m_f0 as double)) as p50,
            percentile_cont(0.75) within group (order by cast(m_f0 as double)) as p75
        from merchant_hourly group by merchant_id order by merchant_id""",
    ),
}
