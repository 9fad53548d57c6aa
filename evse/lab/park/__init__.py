"""``evsectl plan site``: a day of a site, before it is built. The planner of the station, made-up or measured cars, no
devices."""
