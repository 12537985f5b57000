import torch

from mmspd.utils.device import describe_machine


def test_machine_is_described():
    machine = describe_machine(torch.device('cpu'))
    assert machine['device'] == 'cpu'
    assert machine['threads'] == torch.get_num_threads()
    assert machine['torch'] == torch.__version__
    assert machine['processor']
