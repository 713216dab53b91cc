#!/usr/bin/env python3
"""Prices every model of litellm and genai-prices with both, and with `farebox price`.

Where the two libraries agree, Farebox must give the same amount to the last digit of exact
arithmetic. Where they disagree, the case goes into a table: who says what, what Farebox says, and
which rule decides. `--sample N --seed S` takes N models only.

Run by `make test-prices`; see docs/price-book.md.
"""

import argparse
import collections
import json
import os
import random
import subprocess
import sys
import warnings
from datetime import datetime, timezone
from decimal import Decimal, localcontext

os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'
os.environ['LITELLM_LOG'] = 'ERROR'
warnings.simplefilter('ignore')

import genai_prices  # noqa: E402
import litellm  # noqa: E402
from genai_prices import Usage  # noqa: E402
from genai_prices.data_snapshot import get_snapshot  # noqa: E402
from litellm.cost_calculator import batch_cost_calculator  # noqa: E402

litellm.suppress_debug_info = True

#: Wednesday noon: no library has off-peak prices then, so the clock litellm reads does not matter.
AT = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)

#: Providers for which litellm signs in over the network before it prices anything.
SIGNS_IN = {'chatgpt', 'github_copilot'}

#: What a request may have used: meters of Farebox; the other two vocabularies follow from them.
MIXES = {
    'plain': {'input_total': 1234, 'output_total': 567},
    'long': {'input_total': 345678, 'output_total': 1234},
    'cached': {'input_total': 4321, 'cache_read': 1111, 'output_total': 77},
    'long-cached': {'input_total': 300001, 'cache_read': 111111, 'output_total': 77},
    'written': {'input_total': 9876, 'cache_read': 1111, 'cache_write': 2222, 'output_total': 77},
    'written-split': {'input_total': 9876, 'cache_write': 3333, 'cache_write_5m': 2222, 'cache_write_1h': 1111,
                      'output_total': 77},
    'reasoning': {'input_total': 1234, 'output_total': 5678, 'reasoning': 4321},
    'audio-in': {'input_total': 1234, 'audio_in': 1000, 'output_total': 567},
    'audio-out': {'input_total': 1234, 'output_total': 567, 'audio_out': 500},
    'image-in': {'input_total': 1234, 'image_in': 1000, 'output_total': 567},
    'image-out': {'input_total': 1234, 'output_total': 2567, 'image_out': 2500},
    'input-only': {'input_total': 1234},
}
#: Meters that must not pass at their parent's price: an error, where the data has no rate.
UNPRICED = {'audio_in', 'audio_out', 'image_in', 'image_out', 'cache_write'}
TIERED = ('plain', 'long', 'cached')
TIERS = ('flex', 'priority', 'batch')

#: Farebox's meters in genai-prices' words.
GENAI = {
    'input_total': 'input_tokens', 'output_total': 'output_tokens', 'cache_read': 'cache_read_tokens',
    'cache_write': 'cache_write_tokens', 'cache_write_5m': 'cache_write_5m_tokens',
    'cache_write_1h': 'cache_write_1h_tokens', 'reasoning': 'output_reasoning_tokens',
    'audio_in': 'input_audio_tokens', 'audio_out': 'output_audio_tokens',
    'image_in': 'input_image_tokens', 'image_out': 'output_image_tokens',
}


def by_genai(provider, model, mix, tier):
    """The exact amount, or None where it knows no price."""
    context = {'batch': {'processing': 'batch'}}.get(tier) or ({'service_tier': tier} if tier else None)
    usage = Usage(**{GENAI[meter]: count for meter, count in mix.items()})
    try:
        with localcontext() as precise:
            precise.prec = 60
            price = genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=AT,
                                            price_context=context)
            return price.total_price, f'{price.provider.id} {price.model.id}'
    except (LookupError, ValueError):
        return None, None


def by_litellm(key, entry, mix, tier):
    """Its amount, a float, or None."""
    details = {'cached_tokens': mix.get('cache_read', 0), 'audio_tokens': mix.get('audio_in', 0),
               'image_tokens': mix.get('image_in', 0)}
    if 'cache_write' in mix:
        details['cache_creation_tokens'] = mix['cache_write']
    if 'cache_write_1h' in mix:
        details['cache_creation_token_details'] = {'ephemeral_5m_input_tokens': mix['cache_write_5m'],
                                                   'ephemeral_1h_input_tokens': mix['cache_write_1h']}
    output = mix.get('output_total', 0)
    special = {'reasoning_tokens': mix.get('reasoning', 0), 'audio_tokens': mix.get('audio_out', 0),
               'image_tokens': mix.get('image_out', 0)}
    special['text_tokens'] = output - sum(special.values())
    usage = litellm.Usage(prompt_tokens=mix['input_total'], completion_tokens=output,
                          total_tokens=mix['input_total'] + output,
                          prompt_tokens_details=details, completion_tokens_details=special,
                          cache_read_input_tokens=mix.get('cache_read'),
                          cache_creation_input_tokens=mix.get('cache_write'))
    try:
        if tier == 'batch':
            return sum(batch_cost_calculator(usage, key, entry['litellm_provider']))
        return sum(litellm.cost_per_token(model=key, custom_llm_provider=entry['litellm_provider'],
                                          usage_object=usage, service_tier=tier))
    except Exception:
        return None


def cases(sample, seed):
    """(id, farebox provider, farebox model, litellm key or None, genai provider and model, mix, tier)"""
    listed = []
    for key, entry in litellm.model_cost.items():
        if key == 'sample_spec' or entry.get('litellm_provider') in SIGNS_IN or not any('token' in field for field in entry):
            continue
        provider = entry.get('litellm_provider', '')
        bare = key.split('/', 1)[1] if key.startswith(provider.split('-')[0] + '/') else key
        listed.append((provider, key, bare))
    for provider in get_snapshot().providers:
        listed.extend((provider.id, None, model.id) for model in provider.models)
    if sample:
        listed = random.Random(seed).sample(listed, min(sample, len(listed)))
    for provider, key, name in listed:
        for mix_name, mix in MIXES.items():
            for tier in (None, *(TIERS if mix_name in TIERED else ())):
                yield provider, key, name, mix_name, mix, tier


def genai_names(provider, key, name):
    """How a caller of genai-prices would name it: the provider's id there, and the name."""
    yield provider, name
    if key and key != name:
        yield provider, key


def nothing_is_priced(exact, key, mix):
    """Both libraries answer nought where they know no price: tokens of a model sold by the second,
    the output of an embedding model. Farebox answers an error."""
    output = litellm.model_cost[key].get('output_cost_per_token')
    return exact == 0 or ('output_total' in mix and not output)


def farebox(binary, requests):
    lines = '\n'.join(json.dumps(request) for request in requests)
    done = subprocess.run([binary, 'price'], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def close(one, other):
    scale = max(abs(float(one)), abs(float(other)))
    return scale == 0 or abs(float(one) - float(other)) <= 1e-9 * scale


def main():
    options = argparse.ArgumentParser()
    options.add_argument('--farebox', default='target/debug/farebox')
    options.add_argument('--sample', type=int, default=0)
    options.add_argument('--seed', type=int, default=1)
    options.add_argument('--dump', help='write every difference here, as JSON Lines')
    options.add_argument('--show', type=int, default=20)
    options = options.parse_args()

    todo = list(cases(options.sample, options.seed))
    requests = []
    for number, (provider, key, name, _, mix, tier) in enumerate(todo):
        request = {'id': number, 'provider': provider, 'model': key or name, 'at': AT.isoformat(),
                   'usage': {meter: str(count) for meter, count in mix.items()}}
        if tier:
            request['service_tier'] = tier
        requests.append(request)
    answers = farebox(options.farebox, requests)

    tally, wrong, differ = collections.Counter(), [], []
    for (provider, key, name, mix_name, mix, tier), answer in zip(todo, answers, strict=True):
        exact = model = None
        for genai_provider, genai_name in genai_names(provider, key, name):
            exact, model = by_genai(genai_provider, genai_name, mix, tier)
            if exact is not None:
                break
        other = by_litellm(key, litellm.model_cost[key], mix, tier) if key else None
        ours = answer.get('amount') or answer['error']['code']
        row = {'provider': provider, 'model': key or name, 'mix': mix_name, 'tier': tier, 'farebox': ours,
               'genai': None if exact is None else str(exact), 'genai_model': model, 'litellm': other}
        if exact is None and other is None:
            tally['neither prices it'] += 1
            continue
        if exact is not None and other is not None and not close(exact, other):
            tally['the two differ'] += 1
            differ.append(row)
            continue
        expected = exact if exact is not None else other
        kind = 'both' if exact is not None and other is not None else 'genai only' if exact is not None else 'litellm only'
        try:
            same = Decimal(ours) == exact if exact is not None else close(Decimal(ours), other)
        except ArithmeticError:
            same = False
        tally[f'{kind}: {"same" if same else ours if not ours[0].isdigit() else "different"}'] += 1
        if not same and ours == 'meter_not_priced' and UNPRICED & mix.keys():
            # Not a difference of data: the libraries let these pass at their parent's price.
            continue
        if not same and kind == 'both' and ours == 'meter_not_priced' and nothing_is_priced(exact, key, mix):
            tally['both: nought, where neither has a price'] += 1
            continue
        if not same:
            wrong.append({**row, 'kind': kind, 'expected': str(expected)})
    for kind, count in sorted(tally.items()):
        print(f'{count:7} {kind}')
    if options.dump:
        with open(options.dump, 'w') as out:
            for row in wrong + differ:
                out.write(json.dumps(row) + '\n')
    bad = [row for row in wrong if row['kind'] == 'both']
    for row in bad[:options.show]:
        print(row)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
