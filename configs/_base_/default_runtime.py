_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['fbnetv3_mmdet'])

# A dict, not custom_hooks: a child config adds hooks without losing this one.
default_hooks = dict(check_settings=dict(type='CheckSettingsHook'))
