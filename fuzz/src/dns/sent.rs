//! What a resolver sends, read by somebody else's code.

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use qorb_core::dns::Transport;
use std::net::SocketAddr;

/// A query, as a server sees it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    pub(super) id: u16,
    pub(super) name: Name,
    pub(super) kind: RecordType,
    pub(super) edns: bool,
}

impl Sent {
    /// # Panics
    ///
    /// It is not a query as it should be, or its id is not what the entropy says.
    pub(super) fn read(
        server: SocketAddr,
        transport: Transport,
        packet: &[u8],
        entropy: u64,
    ) -> Self {
        let message = Message::from_vec(packet).expect("a message");
        let again = message.to_vec().expect("a message can be written again");
        assert_eq!(again, packet, "it reads as something else");
        let it = &message.metadata;
        let header = (it.message_type, it.op_code, it.recursion_desired);
        assert_eq!(header, (MessageType::Query, OpCode::Query, true));
        assert!(!it.truncation && !it.authoritative && !it.checking_disabled);
        assert_eq!(it.id, entropy as u16, "the id is not the entropy's");
        assert!(message.answers.is_empty() && message.authorities.is_empty());
        assert!(message.additionals.is_empty() && message.signature.is_none());
        if let Some(edns) = &message.edns {
            assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
            assert!(edns.options().as_ref().is_empty());
        }
        let [query] = &message.queries[..] else {
            panic!("one question, not {}", message.queries.len());
        };
        assert_eq!(query.query_class(), DNSClass::IN);
        let kind = query.query_type();
        assert!(matches!(
            kind,
            RecordType::SRV | RecordType::A | RecordType::AAAA
        ));
        // So that a server that goes by it need not cut anything.
        assert!(packet.len() <= 512, "{} bytes", packet.len());
        Self {
            server,
            transport,
            id: it.id,
            name: query.name().clone(),
            kind,
            edns: message.edns.is_some(),
        }
    }
}
