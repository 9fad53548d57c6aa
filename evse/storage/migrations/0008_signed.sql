-- What the meter has signed for the transaction of a session (calibration law): JSON of evse.domain.signing.SignedValues.
ALTER TABLE session ADD COLUMN signed TEXT;
