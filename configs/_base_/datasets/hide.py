# HIDE as unpacked: <HIDE_ROOT>/{test/**,GT}. For testing only, with weights trained on GoPro:
#   python tools/test.py CONFIG CHECKPOINT --test-on hide
_base_ = './gopro.py'

test_dataloader = dict(dataset=dict(type='mmspd.HIDEDataset', data_root='{{$HIDE_ROOT:data/HIDE}}'))
