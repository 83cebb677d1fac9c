"""Image search of the vendor OneBound; only BASE_URL is another.
python onebound_client.py BASE_URL KEY SECRET ADDRESS_OF_PICTURE"""

import sys

import requests

base_url, key, secret, imgid = sys.argv[1:5]
response = requests.get(
    f"{base_url}/1688/item_search_img/",
    params={"key": key, "secret": secret, "imgid": imgid, "page": 1, "page_size": 20, "cache": "yes"},
    timeout=300,
)
answer = response.json()
if answer["error_code"] not in ("0000", "2000"):
    sys.exit(f"{answer['error_code']}: {answer['error']}")
print("x-tongkuan:", response.headers.get("x-tongkuan"), answer["api_info"], file=sys.stderr)
for item in answer.get("items", {}).get("item", []):
    print(item["num_iid"], item["price"], item["title"])
