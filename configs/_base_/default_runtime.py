_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['fbnetv3_mmdet'])

# A dict, not custom_hooks: a child config adds hooks without losing this one.
default_hooks = dict(
    check_settings=dict(type='CheckSettingsHook'),
    channels_last=dict(type='ChannelsLastHook'),
    reuse_memory=dict(type='ReuseMemoryHook'),
    pinned_memory=dict(type='PinnedMemoryHook'),
    # docs/reliability.md says what these are for
    checkpoint=dict(type='DurableCheckpointHook'),
    finite_loss=dict(type='FiniteLossHook', interval=1),
    stop_on_signal=dict(type='StopOnSignalHook'),
    whole_images=dict(type='WholeImagesHook', max_bad_share=0.0),
    exact_resume=dict(type='ExactResumeHook'),
)
