"""What a model sees of a row: whether it keeps texts apart that share one, and whether it sees what it is to foretell.

Models of transformers that read `position_ids` keep texts apart (each counts from 0); some place tokens by their mask
instead, such as OPT and BLOOM, and there every text of a row would see the ones before it.
"""

import torch

from runner.inference import evaluating
from runner.language.model import LanguageModel

_TOLERANCE = 1e-3  # of the largest logit: sums in another order, not another sum


def keeps_apart(model: LanguageModel) -> bool:
    """Whether two texts of random tokens in one row get the logits that they get alone."""
    library = model.library_model
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(int(library.config.vocab_size), (1, n), generator=generator) for n in (5, 3)]
    with evaluating(model) as device:

        def logits(*parts: torch.Tensor) -> torch.Tensor:
            places = torch.cat([torch.arange(part.shape[1]) for part in parts])[None]
            batch = {"input_ids": torch.cat(parts, dim=1).to(device), "position_ids": places.to(device)}
            return model(batch)[0].float()  # type: ignore[no-any-return]  # torch types modules' calls as Any

        try:
            together, alone = logits(*texts), torch.cat([logits(text) for text in texts])
        except TypeError:  # it takes no positions
            return False
    return bool((together - alone).abs().max() <= _TOLERANCE * alone.abs().max().clamp(min=1e-6))


def looks_ahead(model: LanguageModel) -> bool:
    """Whether what it says of a token depends on later ones, as encoders do: it would foretell what it has read."""
    library = model.library_model
    one = torch.randint(int(library.config.vocab_size), (1, 6), generator=torch.Generator().manual_seed(0))
    other = one.clone()
    other[0, -1] = (other[0, -1] + 1) % int(library.config.vocab_size)
    with evaluating(model) as device:
        first, second = (model({"input_ids": ids.to(device)})[0, :-1].float() for ids in (one, other))
    return bool((first - second).abs().max() > _TOLERANCE * first.abs().max().clamp(min=1e-6))
