"""Rows of the fault table by area; read them through `evse.domain.fault_table`."""
