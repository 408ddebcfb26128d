"""Prophet's model: trend with changepoints, seasonalities, holidays and regressors, solved for a whole panel."""
