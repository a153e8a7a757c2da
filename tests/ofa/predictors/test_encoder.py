"""One-hot features: what they hold, and that nothing is lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.predictors.encoder import FIELDS, FeatureEncoder
from ofa.space import get_space

RESOLUTIONS = (128, 160, 224)
SPACES = {name: get_space(name) for name in ("mbv3-w1.0", "proxyless-w1.3", "resnet50d")}


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(SPACES)), seed=st.integers(0, 2**32 - 1), order=st.permutations(FIELDS))
def test_features_determine_the_subnet(name, seed, order):
    space = SPACES[name]
    encoder = FeatureEncoder(space, RESOLUTIONS, order)
    genes = space.sample(np.random.default_rng(seed), 7, resolutions=RESOLUTIONS)
    features = encoder.training_features(genes)
    assert features.shape == (7, encoder.num_features)
    assert np.array_equal(encoder.genes(features), genes)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_live_layer_lights_one_kernel_and_one_expand_feature(seed):
    space = SPACES["mbv3-w1.0"]
    encoder = FeatureEncoder(space, RESOLUTIONS, ("kernel_sizes", "expand_ratios", "resolution", *FIELDS[2:4]))
    genes = space.sample(np.random.default_rng(seed), 5, resolutions=RESOLUTIONS)
    features = encoder.training_features(genes)
    alive = space.alive(genes)
    assert np.array_equal(features[:, :60].reshape(5, 20, 3).sum(axis=2), alive)
    assert np.array_equal(features[:, 60:120].reshape(5, 20, 3).sum(axis=2), alive)
    assert np.array_equal(np.array(RESOLUTIONS)[features[:, 120:].argmax(axis=1)], genes[:, 0])


def test_number_of_features():
    # 20 layers x 3 kernel sizes, x 3 expand ratios; 21 layers; 18 layers, 6 widths x 3, stem in or out
    expected = {"mbv3-w1.0": 120 + 3, "proxyless-w1.3": 126 + 3, "resnet50d": 54 + 18 + 2 + 3}
    assert expected == {n: FeatureEncoder(s, RESOLUTIONS).num_features for n, s in SPACES.items()}


def test_unknown_resolution_is_refused():
    space = SPACES["mbv3-w1.0"]
    genes = space.sample(np.random.default_rng(0), 50, resolutions=RESOLUTIONS)
    with pytest.raises(InputError, match="resolution 160 is not among 128, 224"):
        FeatureEncoder(space, (128, 224)).training_features(genes)
