from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, and of what else it does, not of the code.
settings.register_profile("zarrmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zarrmill")
