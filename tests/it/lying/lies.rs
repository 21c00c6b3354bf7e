//! The kinds of lies that a node in front of a real one tells.

use std::sync::Arc;

use seedrail::{
    tron::{
        block::{Block, BlockHeader, merkle_root},
        contract::Contract,
        json::{block_from_json, block_to_json, header_to_json},
        keys::SecretKey,
        transaction::{Draft, RefBlock},
    },
    types::{Address, RawAmount, Token, TokenId, UnixMs},
};
use serde_json::{Value, json};

use crate::support::{http_server::Reply, lying_node::Lie};

/// What lies are about.
pub(crate) struct Facts {
    /// Who signs no block of the chain.
    pub(crate) stranger: SecretKey,
    /// Who is said to have paid, and to whom.
    pub(crate) payer: Address,
    pub(crate) earner: Address,
    /// Block 1, which is the newest to some nodes.
    pub(crate) first: Value,
}

/// Answers a question, or leaves it to the real node.
pub(crate) type Liar = fn(&Arc<Facts>, &str, &Value) -> Lie;

fn method(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn is_head(path: &str) -> bool {
    method(path) == "getblock"
}

/// A question for several blocks.
fn is_list(path: &str) -> bool {
    method(path) == "getblockbylimitnext"
}

/// A question for one block, but not for the first, which names the chain.
fn is_block(path: &str, body: &Value) -> bool {
    method(path) == "getblockbynum" && body["num"] != 0
}

fn is_broadcast(path: &str) -> bool {
    method(path) == "broadcasthex"
}

/// A lie about every block that is shown in full.
fn of_blocks(path: &str, body: &Value, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Lie {
    if is_list(path) {
        return Lie::of(move |mut answer| {
            if let Some(list) = answer["block"].as_array_mut() {
                list.iter_mut().for_each(&change);
            }
            answer
        });
    }
    if is_block(path, body) {
        return Lie::of(move |mut answer| {
            if answer.get("block_header").is_some() {
                change(&mut answer);
            }
            answer
        });
    }
    Lie::None
}

fn of_list(path: &str, change: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> Lie {
    if !is_list(path) {
        return Lie::None;
    }
    Lie::of(move |mut answer| {
        if let Some(list) = answer["block"].as_array_mut() {
            change(list);
        }
        answer
    })
}

fn of_method(path: &str, wanted: &str, change: impl FnOnce(&mut Value) + Send + 'static) -> Lie {
    if method(path) != wanted {
        return Lie::None;
    }
    Lie::of(move |mut answer| {
        change(&mut answer);
        answer
    })
}

fn block_of(object: &Value) -> Block {
    block_from_json(object, false).unwrap().1
}

/// A block as a stranger would make it on top of another one.
fn child(facts: &Facts, parent: &Value) -> Block {
    let parent = block_of(parent).header;
    let draft = Draft::new(
        Contract::transfer(
            facts.payer,
            facts.earner,
            Token::Trc10(TokenId::BTT),
            RawAmount::new(777_000_000).unwrap(),
        ),
        RefBlock::from(parent.id()),
        UnixMs(parent.timestamp.0 + 60_000),
        parent.timestamp,
    );
    let transactions = vec![draft.build().sign(&facts.stranger).unwrap()];
    let header = BlockHeader {
        number: parent.number + 1,
        timestamp: UnixMs(parent.timestamp.0 + 3000),
        tx_trie_root: merkle_root(&transactions),
        parent_hash: parent.id(),
        witness_address: facts.stranger.address().to_bytes().to_vec(),
        version: parent.version,
        account_state_root: Vec::new(),
    };
    let witness_signature = header.sign(&facts.stranger).to_vec();
    Block {
        header,
        witness_signature,
        transactions,
    }
}

fn header_of(block: &Block) -> Value {
    json!({ "blockID": block.id().to_string(), "block_header": header_to_json(block, false) })
}

/// Signed anew, by a stranger.
fn by_a_stranger(facts: &Facts, object: &mut Value) {
    let mut block = block_of(object);
    block.witness_signature = block.header.sign(&facts.stranger).to_vec();
    *object = block_to_json(&block, false).unwrap();
}

/// The elements of a list, if there is one.
fn list_of<'v>(object: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    let list = object.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// A lie about an account that there is.
fn of_account(path: &str, change: impl FnOnce(&mut Value) + Send + 'static) -> Lie {
    of_method(path, "getaccount", |answer| {
        if answer.get("address").is_some() {
            change(answer);
        }
    })
}

/// What is told of an amount, so many times as large.
fn times(value: &mut Value, factor: i64) {
    if let Some(number) = value.as_i64() {
        *value = number.saturating_mul(factor).into();
    }
}

/// Shows an invented block as the newest.
pub(crate) fn newest(facts: &Arc<Facts>, path: &str) -> Option<Lie> {
    let facts = Arc::clone(facts);
    is_head(path).then(|| Lie::of(move |answer| header_of(&child(&facts, &answer))))
}

/// The kind that invents a payment.
pub(crate) const ADDS_A_PAYMENT: &str = "adds a block with a payment that never was";

/// Every kind, in the words of the page.
pub(crate) fn kinds() -> Vec<(&'static str, Liar)> {
    vec![
        ("answers `{}` to everything", |_, _, _| Lie::json(json!({}))),
        ("answers an error to everything", |_, _, _| {
            Lie::json(json!({ "Error": "class java.lang.NullPointerException : null" }))
        }),
        ("answers a web page to everything", |_, _, _| {
            Lie::Instead(Reply::Status(
                "200 OK",
                "content-type: text/html\r\n",
                "<html>Welcome</html>",
            ))
        }),
        ("answers HTTP 500 to everything", |_, _, _| {
            Lie::Instead(Reply::Status("500 Oops", "", ""))
        }),
        ("cuts every connection", |_, _, _| Lie::Instead(Reply::Cut)),
        ("sends half of every answer", |_, _, _| {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"block_header\":";
            Lie::Instead(Reply::Raw(half.to_vec()))
        }),
        ("sends every question to another host", |_, _, _| {
            Lie::Instead(Reply::Status(
                "302 Found",
                "location: http://127.0.0.1:1/\r\n",
                "",
            ))
        }),
        ("asks to come back in an hour", |_, _, _| {
            Lie::Instead(Reply::Status(
                "429 Too Many Requests",
                "retry-after: 3600\r\n",
                "",
            ))
        }),
        ("is on another chain", |_, path, body| {
            if method(path) == "getblockbynum" && body["num"] == 0 {
                Lie::json(json!({ "blockID": format!("{}{}", "0".repeat(16), "7".repeat(48)) }))
            } else {
                Lie::None
            }
        }),
        ("shows block 1 as its newest", |facts, path, _| {
            if is_head(path) {
                Lie::json(facts.first.clone())
            } else {
                Lie::None
            }
        }),
        ("shows no solid block after block 1", |facts, path, _| {
            if path.starts_with("/walletsolidity") && is_head(path) {
                Lie::json(facts.first.clone())
            } else if path.starts_with("/walletsolidity") && is_list(path) {
                Lie::json(json!({}))
            } else {
                Lie::None
            }
        }),
        ("changes the time of its newest block", |_, path, _| {
            of_method(path, "getblock", |answer| {
                let time = &mut answer["block_header"]["raw_data"]["timestamp"];
                *time = (time.as_i64().unwrap_or(0) + 60_000).into();
            })
        }),
        ("invents a newest block far ahead", |facts, path, _| {
            let facts = Arc::clone(facts);
            of_method(path, "getblock", move |answer| {
                let mut block = child(&facts, answer);
                block.header.number += 1000;
                block.witness_signature = block.header.sign(&facts.stranger).to_vec();
                *answer = header_of(&block);
            })
        }),
        ("has no blocks", |_, path, body| {
            if is_list(path) || is_block(path, body) {
                Lie::json(json!({}))
            } else {
                Lie::None
            }
        }),
        ("leaves the first block out", |_, path, _| {
            of_list(path, |list| {
                list.drain(..list.len().min(1));
            })
        }),
        ("shows every block twice", |_, path, _| {
            of_list(path, |list| {
                *list = list
                    .iter()
                    .flat_map(|block| [block.clone(), block.clone()])
                    .collect();
            })
        }),
        ("shows blocks under other ids", |_, path, body| {
            of_blocks(path, body, |block| {
                let number = block["block_header"]["raw_data"]["number"].as_u64();
                let id = format!("{:016x}{}", number.unwrap_or(0), "9".repeat(48));
                block["blockID"] = id.into();
            })
        }),
        ("shows blocks with other parents", |_, path, body| {
            of_blocks(path, body, |block| {
                block["block_header"]["raw_data"]["parentHash"] = "22".repeat(32).into();
            })
        }),
        (
            "leaves transactions out of their blocks",
            |_, path, body| {
                of_blocks(path, body, |block| {
                    if let Some(fields) = block.as_object_mut() {
                        fields.remove("transactions");
                    }
                })
            },
        ),
        ("changes amounts in blocks", |_, path, body| {
            of_blocks(path, body, |block| {
                for transaction in list_of(block, "transactions") {
                    let amount = "/raw_data/contract/0/parameter/value/amount";
                    if let Some(amount) = transaction.pointer_mut(amount) {
                        times(amount, 3);
                    }
                }
            })
        }),
        (
            "shows blocks that a stranger signed",
            |facts, path, body| {
                let facts = Arc::clone(facts);
                of_blocks(path, body, move |block| by_a_stranger(&facts, block))
            },
        ),
        (ADDS_A_PAYMENT, |facts, path, _| {
            let facts = Arc::clone(facts);
            of_list(path, move |list| {
                let added = list.last().map(|last| child(&facts, last));
                list.extend(added.map(|block| block_to_json(&block, false).unwrap()));
            })
        }),
        ("knows no account", |_, path, _| {
            of_method(path, "getaccount", |answer| *answer = json!({}))
        }),
        ("shows accounts a thousand times as rich", |_, path, _| {
            of_account(path, |answer| {
                times(&mut answer["balance"], 1000);
                for token in list_of(answer, "assetV2") {
                    times(&mut token["value"], 1000);
                }
            })
        }),
        ("shows another account", |facts, path, _| {
            let other = facts.stranger.address();
            of_account(path, move |answer| {
                answer["address"] = other.to_string().into();
            })
        }),
        ("hides what an account did last", |_, path, _| {
            of_method(path, "getaccount", |answer| {
                if let Some(fields) = answer.as_object_mut() {
                    fields.remove("latest_opration_time");
                }
            })
        }),
        ("says that an account acts all the time", |_, path, _| {
            of_account(path, |answer| {
                answer["latest_opration_time"] = 4_000_000_000_000_i64.into();
            })
        }),
        (
            "says that a stranger signs for the account",
            |facts, path, _| {
                let stranger = facts.stranger.address();
                of_account(path, move |answer| {
                    answer["owner_permission"] = json!({
                        "permission_name": "owner", "threshold": 1,
                        "keys": [{ "address": stranger.to_string(), "weight": 1 }],
                    });
                })
            },
        ),
        ("says that BTT has no decimals", |_, path, _| {
            of_method(path, "getassetissuebyid", |answer| {
                if let Some(fields) = answer.as_object_mut() {
                    fields.remove("precision");
                }
            })
        }),
        ("knows no token", |_, path, _| {
            of_method(path, "getassetissuebyid", |answer| *answer = json!({}))
        }),
        ("tells fees that nobody could pay", |_, path, _| {
            of_method(path, "getchainparameters", |answer| {
                for parameter in list_of(answer, "chainParameter") {
                    times(&mut parameter["value"], 1_000_000_000);
                }
            })
        }),
        ("tells fees that are no numbers", |_, path, _| {
            of_method(path, "getchainparameters", |answer| {
                for parameter in list_of(answer, "chainParameter") {
                    parameter["value"] = "many".into();
                }
            })
        }),
        ("accepts transactions and keeps them", |_, path, _| {
            if is_broadcast(path) {
                Lie::json(json!({ "result": true }))
            } else {
                Lie::None
            }
        }),
        ("refuses transactions and sends them", |_, path, _| {
            of_method(path, "broadcasthex", |answer| {
                *answer = json!({
                    "result": false, "code": "SIGERROR", "message": "Validate signature error",
                });
            })
        }),
        ("answers for another transaction", |_, path, _| {
            of_method(path, "broadcasthex", |answer| {
                *answer = json!({ "result": true, "txid": "33".repeat(32) });
            })
        }),
        ("knows no transaction", |_, path, _| {
            if method(path).starts_with("gettransaction") {
                Lie::json(json!({}))
            } else {
                Lie::None
            }
        }),
        ("tells other fees of transactions", |_, path, _| {
            of_method(path, "gettransactioninfobyblocknum", |answer| {
                for info in answer.as_array_mut().into_iter().flatten() {
                    info["fee"] = 999_000_000_000_i64.into();
                }
            })
        }),
    ]
}
