"""Search by picture through Tongkuan, with requests: python search.py BASE_URL PICTURE [KEY]"""

import sys

import requests

base_url, picture = sys.argv[1:3]
headers = {"Authorization": f"Bearer {sys.argv[3]}"} if len(sys.argv) > 3 else {}

with open(picture, "rb") as file:
    response = requests.post(
        f"{base_url}/v1/search",
        params={"page_size": 20},
        files={"image": file},
        headers={**headers, "Idempotency-Key": f"search {picture}"},
        timeout=300,
    )
if response.status_code == 429:
    sys.exit(f"busy, come back in {response.headers['Retry-After']} s")
if not response.ok:
    problem = response.json()
    sys.exit(f"{problem['code']}: {problem['detail']}")
answer = response.json()
print(answer["verdict"], answer["upstream_calls"], "calls")
for offer in answer["offers"]:
    print(offer["offer_id"], offer["price"], offer["title"])
