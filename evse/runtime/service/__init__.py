"""The operations of the API, carried out on a running `evse.runtime.station.Station`. One module per noun."""
