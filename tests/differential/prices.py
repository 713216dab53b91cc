#!/usr/bin/env python3
"""Prices every model of litellm and genai-prices with both, and with `farebox price`.

Where the two libraries agree, Farebox must give the same amount to the last digit of exact
arithmetic. Where they disagree, the case is sorted by its cause, and written down: who says what,
what Farebox says, who is right. Run by `make test-prices`; see docs/price-book.md.

    prices.py [--sample N --seed S]   compare; fails where Farebox differs from what both say
    prices.py --write                 also write docs/price-differences.md, differences.csv and the
                                      cases tests/golden_prices.rs holds Farebox to
"""

import argparse
import collections
import importlib.metadata
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


#: Where Farebox differs from what both libraries say, and is meant to.
EXPLAINED = {
    ('gemini-2.5-pro-preview-tts', 'cached', 'batch'):
        'litellm states a price for cache reads, but its batch calculator does not apply it',
}


def explained(row):
    return EXPLAINED.get((row['model'].split('/')[-1], row['mix'], row['tier']))


#: Causes of disagreement between the two libraries, with who is right. The first that fits counts.
CAUSES = {
    'one side nought': 'A price that is nought on one side only. Nought says "not known" as often as "free", so Farebox '
                       'takes the price that is not nought, or answers an error where genai-prices lists the model free.',
    'request fee': 'genai-prices adds the fee of a search request to every call; litellm does not. Both are right for '
                   'their case: Farebox charges the fee for the meter `requests`, which `farebox meter` reports.',
    'region': "AWS asks 10 % more for a region's own endpoint. genai-prices knows which names are regional; litellm often "
              'gives the global price. genai-prices is right.',
    'DBU rounding': 'Databricks sells in its own unit. litellm multiplies a rounded unit price, off by up to a few '
                    'thousandths. genai-prices states dollars, and is right.',
    'latest alias': 'A name ending in -latest means another model on each side. Which one serves is known only from the '
                    'answer: price by the served model. Farebox takes genai-prices.',
    'served by another': 'genai-prices prices a model of one provider as the maker does where it lists no price for that '
                         "provider; litellm lists the provider's own. litellm is right, and Farebox takes it.",
    'base price': 'The price of plain input or output differs. No rule decides that: one of the two has not followed a '
                  'change. Farebox takes genai-prices, which dates its prices, and marks the row `disputed`.',
    'batch at half': 'litellm halves the price in batches where it has no batch price; genai-prices asks the full one. '
                     'Providers that halve say so model by model, so halving is a guess: Farebox asks the full price.',
    'service tier': 'One side has a price for batch, flex or priority, the other asks the default price. Farebox takes the '
                    'side that has one, genai-prices first.',
    'context tier': 'The price of long requests differs, or one side has none. Farebox takes genai-prices.',
    'cache price': 'The price of cache reads or writes differs, or one side has none and asks the price of input. Farebox '
                   'takes the side that has one, genai-prices first.',
    'reasoning price': 'litellm has a price of its own for reasoning, genai-prices has none. Providers bill reasoning as '
                       'output; genai-prices is right.',
    'modality price': 'One side has a price for audio or images, the other asks the price of text. Farebox takes the side '
                      'that has one; if that is neither, it answers an error.',
}


def cause(row, rows):
    """Why the libraries differ in this case, given all differing cases of the model."""
    exact, other = float(row['genai']), row['litellm']
    mix, tier = row['mix'], row['tier']
    plain = next((r for r in rows if r['mix'] == 'plain' and r['tier'] is None), None)
    if (exact == 0) != (other == 0):
        return 'one side nought'
    if plain is not None:
        ratio = float(plain['genai']) / plain['litellm'] if plain['litellm'] else 0
        if row['genai_model'].startswith('perplexity') and float(plain['genai']) - plain['litellm'] > 0.004:
            return 'request fee'
        if row['genai_model'].startswith('aws') and abs(ratio - 1.1) < 1e-6:
            return 'region'
        if row['genai_model'].startswith('databricks') and abs(ratio - 1) < 0.02:
            return 'DBU rounding'
        if row['model'].endswith('-latest'):
            return 'latest alias'
        if row['farebox'][0].isdigit() and close(Decimal(row['farebox']), other) and tier is None:
            return 'served by another'
        return 'base price'
    if tier == 'batch' and close(2 * other, by_default(row, rows) or exact):
        return 'batch at half'
    if tier:
        return 'service tier'
    return {'long': 'context tier', 'long-cached': 'context tier', 'cached': 'cache price', 'written': 'cache price',
            'written-split': 'cache price', 'reasoning': 'reasoning price'}.get(mix, 'modality price')


def by_default(row, _rows):
    """What genai-prices asks without the tier."""
    provider, name = row['genai_model'].split(' ', 1)
    exact, _ = by_genai(provider, name, MIXES[row['mix']], None)
    return exact


def sort_out(differ):
    """The differing cases by model and cause."""
    by_model = collections.defaultdict(list)
    for row in differ:
        by_model[row['provider'], row['model']].append(row)
    sorted_out = collections.defaultdict(list)
    for (provider, model), rows in by_model.items():
        for row in rows:
            sorted_out[provider, model, cause(row, rows)].append(row)
    return sorted_out


def follows(row):
    """Whom Farebox follows in a case."""
    if not row['farebox'][0].isdigit():
        return 'error'
    if Decimal(row['farebox']) == Decimal(row['genai']):
        return 'genai-prices'
    return 'litellm' if close(Decimal(row['farebox']), row['litellm']) else 'neither'


def write(tally, differ, golden):
    sorted_out = sort_out(differ)
    with open('tests/differential/differences.csv', 'w') as out:
        out.write('provider,model,cause,cases,mix,tier,genai_prices,litellm,farebox,follows\n')
        for (provider, model, why), rows in sorted(sorted_out.items()):
            row = rows[0]
            out.write(','.join([provider, model, why, str(len(rows)), row['mix'], row['tier'] or '', row['genai'],
                                repr(row['litellm']), row['farebox'], follows(row)]) + '\n')
    with open('docs/price-differences.md', 'w') as out:
        out.write(REPORT.format(
            genai=importlib.metadata.version('genai-prices'), litellm=importlib.metadata.version('litellm'),
            counts='\n'.join(f'| {kind} | {count:,} |' for kind, count in sorted(tally.items())),
            causes='\n'.join(cause_line(why, sorted_out) for why in CAUSES)))
    with open('tests/golden/prices.jsonl', 'w') as out:
        for request, exact in sorted(random.Random(7).sample(golden, GOLDEN), key=lambda case: case[0]['id']):
            out.write(json.dumps({**request, 'expected': plain(exact)}) + '\n')


def cause_line(why, sorted_out):
    groups = [rows for (_, _, cause), rows in sorted(sorted_out.items()) if cause == why]
    rows = [row for group in groups for row in group]
    if not rows:
        return f'| {why} | 0 | 0 | | | {CAUSES[why]} |'
    row = rows[0]
    whom = collections.Counter(map(follows, rows))
    whom = ', '.join(f'{name} {count}' for name, count in whom.most_common())
    example = f"`{row['model']}` {row['mix']}{' ' + row['tier'] if row['tier'] else ''}: {row['genai']} / {row['litellm']!r}"
    return f'| {why} | {len(groups)} | {len(rows)} | {example} | {whom} | {CAUSES[why]} |'


def plain(number):
    text = format(number, 'f')
    return text.rstrip('0').rstrip('.') if '.' in text else text


#: Cases that tests/golden_prices.rs holds Farebox to: enough that a wrong rule shows, in a second.
GOLDEN = 600

REPORT = """# Price differences

Made by `make test-prices` from genai-prices {genai} and litellm {litellm}: every model of both, priced for twelve
mixes of usage and three service tiers, with the catalogue, at one moment. Do not edit.

| what the two say: what Farebox says | cases |
|---|---|
{counts}

*Both: meter_not_priced* are audio, images and cache writes that neither library has a price for and both let pass
at their parent's: Farebox answers an error. *Litellm only: different* is nearly all litellm's guess that a batch costs
half where no batch price is known, and rules of its code for fireworks and perplexity that its data does not state.

## Where the libraries differ

One row a model and cause is in [tests/differential/differences.csv](../tests/differential/differences.csv).

| cause | models | cases | example: genai-prices / litellm | Farebox follows | who is right |
|---|---|---|---|---|---|
{causes}
"""


def main():
    options = argparse.ArgumentParser()
    options.add_argument('--farebox', default='target/debug/farebox')
    options.add_argument('--sample', type=int, default=0)
    options.add_argument('--seed', type=int, default=1)
    options.add_argument('--write', action='store_true', help='write the tables and the golden cases')
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

    tally, wrong, differ, golden = collections.Counter(), [], [], []
    for request, (provider, key, name, mix_name, mix, tier), answer in zip(requests, todo, answers, strict=True):
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
        if same and kind == 'both':
            golden.append((request, exact))
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
    both = [row for row in wrong if row['kind'] == 'both']
    for row in both:
        if explained(row):
            print(f"explained: {row['model']} {row['mix']} {row['tier']}: {explained(row)}")
    bad = [row for row in both if not explained(row)]
    for row in bad[:options.show]:
        print(row)
    if options.write:
        write(tally, differ, golden)
    print('Farebox says what both say' if not bad else f'{len(bad)} cases differ from what both say')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
